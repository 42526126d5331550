"""Data for pretraining one model on many modalities, and what such a model gives untuned."""
