"""NVIDIA TensorRT: the engine, its build, and the files in between."""
