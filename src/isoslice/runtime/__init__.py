"""The machine: device, threads, time budget, progress, versions. Independent of images."""
