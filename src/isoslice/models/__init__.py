"""A trained model: settings, diffusion, networks, reliability, files."""
