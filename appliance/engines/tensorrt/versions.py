"""Where TensorRT 8.6 to 11 differ, as far as it concerns us. All else that we call has one name in all of them.

- 8.6 must be told that a network has its batch in its shapes; 10 ignores that, 11 knows no such flag.
- 11 computes in the types that the ONNX file has. Before it, FP16 is a flag of the builder.
"""

from __future__ import annotations

import logging
from typing import Any

from appliance.errors import EngineError

log = logging.getLogger(__name__)


def load() -> Any:
    """NVIDIA's module. Raises EngineError where it is not installed."""
    try:
        import tensorrt
    except ImportError as error:
        raise EngineError(
            f"TensorRT cannot be loaded ({error}). JetPack brings it as python3-libnvinfer, for the system's Python: "
            "install that, then the appliance again; an environment made by hand needs --system-site-packages"
        ) from None
    return tensorrt


def can_build(tensorrt: Any) -> bool:
    """Whether the builder is there; the lean runtime has none."""
    return hasattr(tensorrt, "Builder") and hasattr(tensorrt, "OnnxParser")


def choose_precision(tensorrt: Any, asked: str) -> str:
    """What an engine of this version is to compute in; "" asks for the fastest. Raises EngineError."""
    has_half = hasattr(tensorrt.BuilderFlag, "FP16")
    if asked in ("", "f32") or (asked == "f16" and has_half):
        return asked or ("f16" if has_half else "f32")
    known = "f16 or f32" if has_half else "f32"
    raise EngineError(
        f"TensorRT {tensorrt.__version__} computes in {known} here, and not in {asked}: set engine.precision"
    )


def set_precision(tensorrt: Any, config: Any, precision: str) -> None:
    if precision == "f16":
        config.set_flag(tensorrt.BuilderFlag.FP16)


def network_flags(tensorrt: Any) -> int:
    """For `Builder.create_network`."""
    explicit_batch = getattr(tensorrt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    return 0 if explicit_batch is None else 1 << int(explicit_batch)


def new_log(tensorrt: Any) -> Any:
    """What TensorRT tells its warnings to: our log. `last_error` is why a call has failed, of which it says no more
    than False or None.
    """
    levels = {
        tensorrt.ILogger.INTERNAL_ERROR: logging.ERROR,
        tensorrt.ILogger.ERROR: logging.ERROR,
        tensorrt.ILogger.WARNING: logging.WARNING,
    }

    class Log(tensorrt.ILogger):  # type: ignore[misc]  # NVIDIA's, which has no types
        def __init__(self) -> None:
            super().__init__()
            self.last_error = "it does not say why"

        def log(self, severity: Any, msg: str) -> None:
            level = levels.get(severity, logging.DEBUG)
            if level == logging.ERROR:
                self.last_error = msg
            log.log(level, "TensorRT: %s", msg, extra={"kind": "tensorrt"})

    return Log()
