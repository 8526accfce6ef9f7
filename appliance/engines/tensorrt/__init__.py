"""NVIDIA TensorRT: the engine, the build program, and engine files."""
