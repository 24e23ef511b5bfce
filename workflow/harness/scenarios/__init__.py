"""The catalogue: one file for each group of faults; ``catalogue`` has them all."""
