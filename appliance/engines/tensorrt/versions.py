"""Differences between TensorRT 8.6 and 11 that matter here. All other calls are the same in every version.

- 8.6 requires the EXPLICIT_BATCH flag, 10 ignores it, and 11 has removed it.
- 11 uses the types of the ONNX file. Earlier versions have a builder flag for FP16.
"""

from __future__ import annotations

import logging
from typing import Any

from appliance.errors import EngineError

log = logging.getLogger(__name__)


def load() -> Any:
    """Import NVIDIA's module. Raises EngineError when it is not installed."""
    try:
        import tensorrt
    except ImportError as error:
        raise EngineError(
            f"TensorRT cannot be loaded ({error}). JetPack provides it as python3-libnvinfer, for the system's Python: "
            "install that package, then reinstall the appliance. A manually created environment needs "
            "--system-site-packages"
        ) from None
    return tensorrt


def can_build(tensorrt: Any) -> bool:
    """Whether the builder is installed; the lean runtime has none."""
    return hasattr(tensorrt, "Builder") and hasattr(tensorrt, "OnnxParser")


def choose_precision(tensorrt: Any, requested: str) -> str:
    """The precision of an engine of this version; "" selects the fastest. Raises EngineError."""
    has_half = hasattr(tensorrt.BuilderFlag, "FP16")
    if requested in ("", "f32") or (requested == "f16" and has_half):
        return requested or ("f16" if has_half else "f32")
    supported = "f16 or f32" if has_half else "f32 only"
    raise EngineError(f"TensorRT {tensorrt.__version__} runs in {supported}, not {requested}; set engine.precision")


def set_precision(tensorrt: Any, config: Any, precision: str) -> None:
    if precision == "f16":
        config.set_flag(tensorrt.BuilderFlag.FP16)


def network_flags(tensorrt: Any) -> int:
    """Flags for `Builder.create_network`."""
    explicit_batch = getattr(tensorrt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    return 0 if explicit_batch is None else 1 << int(explicit_batch)


def new_log(tensorrt: Any) -> Any:
    """A TensorRT logger that writes to our log.

    `last_error` is the reason for a failed call, which itself only returns False or None.
    """
    levels = {
        tensorrt.ILogger.INTERNAL_ERROR: logging.ERROR,
        tensorrt.ILogger.ERROR: logging.ERROR,
        tensorrt.ILogger.WARNING: logging.WARNING,
    }

    class TensorRTLogger(tensorrt.ILogger):  # type: ignore[misc]  # NVIDIA's module is untyped
        def __init__(self) -> None:
            super().__init__()
            self.last_error = "no reason given"

        def log(self, severity: Any, msg: str) -> None:
            level = levels.get(severity, logging.DEBUG)
            if level == logging.ERROR:
                self.last_error = msg
            log.log(level, "TensorRT: %s", msg, extra={"kind": "tensorrt"})

    return TensorRTLogger()
