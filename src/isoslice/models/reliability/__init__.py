"""Calibration of predicted errors, out-of-distribution detection, isotropy, undertraining."""
