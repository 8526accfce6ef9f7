"""Inference on another machine, over KServe v2 with gRPC; the device's own engine stands in."""
