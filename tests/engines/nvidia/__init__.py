"""A stand-in for NVIDIA's TensorRT and CUDA, and the recorded names of the real ones."""
