"""Quantize a model to INT8 if its accuracy allows; start reading at `quantize.py`."""
