"""Model bundles: what a model is, where it lies and where it comes from."""
