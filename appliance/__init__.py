"""A box that cameras push frames to, and that answers with what it sees."""

__version__ = "0.1.0"
