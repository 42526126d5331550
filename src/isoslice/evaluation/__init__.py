"""Scores against a truth or real images, held-out planes, benchmarks, reports."""
