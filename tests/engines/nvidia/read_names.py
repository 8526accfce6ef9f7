"""Print the names, parameters and members of NVIDIA's bindings that the engine uses, as JSON.

This is a program, never imported: `install.py` and the tests run it with a folder of packages. The bindings load
libraries of half a gigabyte and more. Names and signatures need none of their code, so each is replaced by an empty
library; a call into one ends this process.
"""

import ctypes
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

CLASSES = {
    "ILogger": ("__init__", "log", "INTERNAL_ERROR", "ERROR", "WARNING"),
    "Runtime": ("__init__", "deserialize_cuda_engine"),
    "ICudaEngine": (
        "num_io_tensors", "num_optimization_profiles", "get_tensor_name", "get_tensor_mode", "get_tensor_shape",
        "get_tensor_dtype", "get_tensor_profile_shape", "create_execution_context",
    ),
    "IExecutionContext": (
        "set_optimization_profile_async", "set_input_shape", "get_tensor_shape", "set_tensor_address",
        "execute_async_v3",
    ),
    "Builder": (
        "__init__", "create_network", "create_builder_config", "create_optimization_profile",
        "build_serialized_network",
    ),
    "IBuilderConfig": ("add_optimization_profile", "set_flag", "set_memory_pool_limit"),
    "IOptimizationProfile": ("set_shape",),
    "INetworkDefinition": ("get_input", "num_inputs"),
    "ITensor": ("name", "shape"),
    "OnnxParser": ("__init__", "parse", "get_error", "num_errors"),
}  # fmt: skip
ENUMS = ("TensorIOMode", "DataType", "BuilderFlag", "NetworkDefinitionCreationFlag", "MemoryPoolType")
CUDA = (
    "cudaGetDeviceCount", "cudaGetDeviceProperties", "cudaGetErrorString", "cudaMalloc", "cudaFree", "cudaMallocHost",
    "cudaFreeHost", "cudaStreamCreateWithFlags", "cudaStreamSynchronize", "cudaStreamDestroy",
    "cudaEventCreateWithFlags", "cudaEventRecord", "cudaEventSynchronize", "cudaEventDestroy", "cudaMemcpyAsync",
)  # fmt: skip
CONSTANTS = ("cudaStreamNonBlocking", "cudaEventBlockingSync", "cudaEventDisableTiming")
KINDS = ("cudaMemcpyHostToDevice", "cudaMemcpyDeviceToHost")
PROPERTIES = ("name", "major", "minor", "multiProcessorCount")


def read(folder: Path) -> dict[str, Any]:
    """The names above, as found in the packages in this folder."""
    sys.path.insert(0, str(folder))
    return of_tensorrt(folder) if (folder / "tensorrt_bindings").is_dir() else of_cuda()


def of_tensorrt(folder: Path) -> dict[str, Any]:
    pretend_libraries(folder / "tensorrt_bindings" / "tensorrt.so")
    import tensorrt_bindings as tensorrt

    classes = {
        name: {member: shown(getattr(getattr(tensorrt, name), member, None)) for member in members}
        for name, members in CLASSES.items()
    }
    enums = {name: sorted(getattr(tensorrt, name).__members__) for name in ENUMS}
    return {"version": tensorrt.__version__, "classes": classes, "enums": enums}


def pretend_libraries(binding: Path) -> None:
    """Load an empty library for each one that the binding requires."""
    required = subprocess.run(["readelf", "-d", binding], capture_output=True, text=True, check=True).stdout
    symbols = subprocess.run(
        ["nm", "-D", "--undefined-only", binding], capture_output=True, text=True, check=True
    ).stdout
    undefined = [
        name
        for name in re.findall(r" U (\w+)$", symbols, re.MULTILINE)
        if re.search("Infer|NvOnnx|Plugin|parser", name)
    ]
    source = binding.parent / "empty.c"
    source.write_text("".join(f"void {name}(void) {{ __builtin_trap(); }}\n" for name in undefined))
    for name in re.findall(r"\[(libnv\S+)\]", required):
        library = binding.parent / name
        subprocess.run(["gcc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", library, source], check=True)
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)


def of_cuda() -> dict[str, Any]:
    from cuda.bindings import runtime as cuda

    return {
        "functions": {name: parameters(str(getattr(cuda, name).__doc__)) for name in CUDA},
        "constants": {name: int(getattr(cuda, name)) for name in CONSTANTS},
        "kinds": {name: int(getattr(cuda.cudaMemcpyKind, name)) for name in KINDS},
        "properties": [name for name in PROPERTIES if hasattr(cuda.cudaDeviceProp, name)],
    }


def shown(member: Any) -> Any:
    """The parameters of a method, one list for each overload; "value" for an attribute; None if it is missing."""
    if member is None:
        return None
    if isinstance(member, property) or hasattr(member, "value"):
        return "value"
    return parameters(str(member.__doc__))


def parameters(doc: str) -> list[list[str]]:
    """Parameter names from the first lines of pybind11's or Cython's docstrings."""
    found = re.findall(r"^(?:\d+\. )?\w+\((.*)\)(?: -> .*)?$", doc, re.MULTILINE)
    calls = [
        [re.split(r"[:=]", one)[0].split()[-1] for one in re.split(r",\s*(?![^\[\]<>]*[\]>])", call) if one.strip()]
        for call in found
        if "*args" not in call
    ]
    return [list(one) for one in dict.fromkeys(tuple(name for name in call if name != "self") for call in calls)]


if __name__ == "__main__":
    print(json.dumps(read(Path(sys.argv[1]).resolve())))
