"""Build the TensorRT engine of an export, if this machine has an NVIDIA GPU and TensorRT with its builder."""

from __future__ import annotations

from pathlib import Path

from appliance import programs
from appliance.engines import registry
from appliance.errors import EngineError, ModelError, NotBuilt
from appliance.ports import Engine, ReportLine
from appliance.values import Size

_LONGEST_S = 3600.0


def build(onnx: Path, sizes: tuple[Size, ...], precision: str, report: ReportLine) -> Engine | None:
    """Build an engine next to the ONNX file and open it; None if this machine cannot.

    Raises ModelError export_failed if the build fails.
    """
    try:
        return _open(onnx, sizes, precision)
    except NotBuilt as error:
        if error.build is None:
            report(f"  no TensorRT engine: {error}")
            return None
        report("building a TensorRT engine for this GPU, which takes several minutes")
        _run(error.build)
    except EngineError as error:
        report(f"  no TensorRT engine, the device builds its own: {error}")
        return None
    try:
        return _open(onnx, sizes, precision)
    except EngineError as error:
        raise ModelError(str(error), "export_failed") from None


def _open(onnx: Path, sizes: tuple[Size, ...], precision: str) -> Engine:
    return registry.create("tensorrt", onnx, cache=onnx.parent, sizes=sizes, precision=precision)


def _run(command: tuple[str, ...]) -> None:
    try:
        programs.run(command, timeout_s=_LONGEST_S)
    except programs.ProgramFailed as error:
        raise ModelError(f"building the TensorRT engine failed: {error}", "export_failed") from None
