"""MRC, CCP4 and MAP."""
