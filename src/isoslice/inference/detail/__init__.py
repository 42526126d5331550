"""The dial between mean and sample: sampled detail, blended and strengthened."""
