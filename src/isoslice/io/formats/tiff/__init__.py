"""TIFF: plain, ImageJ, LSM and OME."""
