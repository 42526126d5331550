"""HDF5: ilastik, BigDataViewer, Imaris."""
