"""The path of a frame: admission, waiting, inference, answer."""
