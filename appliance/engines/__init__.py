"""Engines: a tensor in, the raw output of a network out."""
