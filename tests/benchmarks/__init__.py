"""Benchmarks of speed and memory. Each figure is a ratio of two measurements in the same run."""
