"""The machine: device, threads, time budget, progress, versions. Knows nothing of images."""
