"""OME-Zarr and plain Zarr arrays, as folders and as ZIP archives."""
