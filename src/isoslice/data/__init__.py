"""Arrays with axes, spacing and intensities, and what they tell: no files, no networks."""
