"""Weights into bundles: Ultralytics exports in an environment of its own; `export.py` is the way in."""
