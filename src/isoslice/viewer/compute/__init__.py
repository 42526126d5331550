"""The computing process of the napari plugin: ``python -m isoslice.viewer.compute``."""
