"""SliceFID: Inception features of slices, and distances between their distributions."""
