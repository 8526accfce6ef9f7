"""Accuracy: the appliance through its real socket, against Ultralytics' own predictor with the same weights.

`python -m tests.evaluation` from the root of the checkout is `make eval`. Nothing here is a test for pytest.
"""
