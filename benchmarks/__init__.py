"""Measurements, one script for each capability: `python -m benchmarks.launch`."""
