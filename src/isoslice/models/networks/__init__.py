"""PyTorch modules, and a factory that builds them from settings."""
