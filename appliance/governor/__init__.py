"""Readings in, limits out: what the device may do while it is hot or short of memory."""
