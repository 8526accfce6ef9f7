"""Convert an ONNX file to MNN's format, in a process of its own: the converter reports errors only as text."""

from __future__ import annotations

import sys
from pathlib import Path

from appliance import programs
from appliance.errors import EngineError

SUFFIX = ".mnn"
_LONGEST_S = 300.0
_CODE = """
import sys
import _tools
_tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", sys.argv[1], "--MNNModel", sys.argv[2], "--fp16",
                   "--bizCode", "appliance"])
"""
"""Not the package's command `mnnconvert`: that may report its use to the vendor."""


def convert(onnx: Path, target: Path) -> None:
    """Write the network of an ONNX file to `target`, with 16-bit weights. Needs no internet.

    Raises EngineError if the package is missing or the converter does not support the network.
    """
    try:
        log = programs.run([sys.executable, "-I", "-c", _CODE, str(onnx), str(target)], timeout_s=_LONGEST_S)
    except programs.ProgramFailed as error:
        raise EngineError(f"MNN cannot convert {onnx}: {error}") from None
    if not target.exists():
        errors = [line for line in log.splitlines() if "ERROR" in line or "Check failed" in line]
        raise EngineError(f"MNN cannot convert {onnx}: {errors[0].strip() if errors else 'unsupported network'}")
