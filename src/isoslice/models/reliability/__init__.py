"""What a model knows of its own errors and of its training images."""
