"""Accuracy of the appliance through its socket, compared with Ultralytics' predictor with the same weights.

`make eval` runs `python -m tests.evaluation` from the root of the checkout. This package contains no pytest tests.
"""
