"""NIfTI, and what else nibabel reads."""
