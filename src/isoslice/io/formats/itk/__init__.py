"""ITK's own formats, NRRD and MetaImage: a text header, then voxels."""
