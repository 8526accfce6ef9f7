"""Inference engines: each runs a network on an input tensor and returns the raw output."""
