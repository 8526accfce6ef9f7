"""The way of a frame: admitted, waiting, inferred, answered."""
