"""Parts of a trained model: settings, diffusion, networks, knowledge of its errors, files."""
