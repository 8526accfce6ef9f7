"""Limits for TCP connections: how many, how long each may take, and how much memory unfinished messages may use."""
