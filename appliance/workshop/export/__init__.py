"""Export PyTorch weights as bundles, with Ultralytics in its own environment; start reading at `export.py`."""
