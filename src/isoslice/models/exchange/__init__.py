"""Models to and from other programs: packages of bioimage.io."""
