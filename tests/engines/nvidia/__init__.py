"""NVIDIA's TensorRT and CUDA for tests on machines without either: the names as they really are, and a stand-in."""
