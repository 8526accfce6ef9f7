"""Pictures in, tensors out, boxes back: pure functions over arrays."""
