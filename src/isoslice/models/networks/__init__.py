"""PyTorch modules, and how settings become one."""
