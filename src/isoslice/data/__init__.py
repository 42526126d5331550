"""Arrays with axes, spacing and intensities, and statistics of them: no files, no networks."""
