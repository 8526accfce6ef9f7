"""Readings in, limits out: what the box may do while it is hot or short of memory."""
