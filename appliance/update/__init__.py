"""Signed updates: what may be installed, how it gets here, and whether it stays."""
