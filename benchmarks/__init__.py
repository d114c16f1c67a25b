"""Measured comparisons with what a user would pick instead. `python -m benchmarks` runs them."""
