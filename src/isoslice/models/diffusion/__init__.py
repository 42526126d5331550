"""The mathematics of diffusion, on tensors alone; every formula cites its equation."""
