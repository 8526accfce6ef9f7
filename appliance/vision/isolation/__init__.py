"""Decoding in processes that cannot open files, use the network or start programs.

Image decoders are the part of the service that hostile bytes reach first, and they are written in C. A fault in one of
them is worth a process that has nothing to lose.
"""
