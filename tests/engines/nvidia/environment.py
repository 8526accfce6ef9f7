"""A process of its own on a box like ours: the stand-ins lie there under the names that are imported."""

from __future__ import annotations

import os
from pathlib import Path

from tests.conftest import ROOT

_OURS = "from tests.engines.nvidia.gpu import Gpu, runtime_module\nfrom tests.engines.nvidia import tensorrt\n"


def environment(folder: Path, version: str) -> dict[str, str]:
    """Its variables. `folder` is made, and holds the modules."""
    bindings = folder / "cuda" / "bindings"
    bindings.mkdir(parents=True)
    bindings.joinpath("__init__.py").write_text(f"{_OURS}runtime = runtime_module(Gpu(), {{}})\n")
    folder.joinpath("tensorrt.py").write_text(
        f"import sys\n{_OURS}sys.modules[__name__] = tensorrt.tensorrt_module({version!r}, Gpu())\n"
    )
    return {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}
