"""2D images in, a model out."""
