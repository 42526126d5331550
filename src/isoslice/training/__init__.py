"""Train models from 2D images, continue and distill them."""
