"""Model folders and checkpoints on disk, read without trusting them."""
