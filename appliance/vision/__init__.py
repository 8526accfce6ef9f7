"""Image decoding, letterboxing and model heads: pure functions on arrays."""
