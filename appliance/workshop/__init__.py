"""How model bundles are made: downloads, imports, exports and quantization."""
