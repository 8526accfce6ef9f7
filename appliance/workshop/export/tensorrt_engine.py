"""The TensorRT engine of an export, where this machine has an NVIDIA GPU and TensorRT with its builder."""

from __future__ import annotations

from pathlib import Path

from appliance import programs
from appliance.engines import registry
from appliance.errors import EngineError, ModelError, NotBuilt
from appliance.ports import Engine, ReportLine
from appliance.values import Size

_LONGEST_S = 3600.0


def build(onnx: Path, sizes: tuple[Size, ...], precision: str, report: ReportLine) -> Engine | None:
    """Put an engine beside the ONNX file and open it; None where this machine cannot.

    Raises ModelError export_failed where it should and does not.
    """
    try:
        return _open(onnx, sizes, precision)
    except NotBuilt as error:
        if error.build is None:
            report(f"  without a TensorRT engine: {error}")
            return None
        report("building a TensorRT engine for this GPU, which takes minutes")
        _run(error.build)
    except EngineError as error:
        report(f"  without a TensorRT engine, which the box builds itself: {error}")
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
        raise ModelError(f"the TensorRT engine could not be built: {error}", "export_failed") from None
