"""The environment of a child process that imports the stand-ins in place of NVIDIA's modules."""

from __future__ import annotations

import os
from pathlib import Path

from tests.conftest import ROOT

_OURS = "from tests.engines.nvidia.gpu import Gpu, runtime_module\nfrom tests.engines.nvidia import tensorrt\n"


def environment(folder: Path, version: str) -> dict[str, str]:
    """Environment variables for the child process. `folder` is created for the stand-in modules."""
    bindings = folder / "cuda" / "bindings"
    bindings.mkdir(parents=True)
    bindings.joinpath("__init__.py").write_text(f"{_OURS}runtime = runtime_module(Gpu(), {{}})\n")
    folder.joinpath("tensorrt.py").write_text(
        f"import sys\n{_OURS}sys.modules[__name__] = tensorrt.tensorrt_module({version!r}, Gpu())\n"
    )
    return {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}
