"""One copy of a network in MNN, and what has to be known about its Python binding.

Rules of this file:
- A session computes one input size at a time, and needs a few milliseconds to lay itself out for another.
- Sessions share nothing, so they run in parallel. `runSession` releases the GIL.
- MNN writes its messages to stdout, where a command's JSON goes. They are sent to stderr.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from appliance.errors import EngineError, last_line
from appliance.ports import Raw, Tensor
from appliance.values import Size

_STDOUT, _STDERR = 1, 2
_redirecting = threading.Lock()


def import_mnn() -> Any:
    """Import the package. Raises EngineError when it is missing."""
    with messages_to_stderr():
        try:
            import MNN
        except ImportError as error:
            raise EngineError(f"MNN cannot be used ({error}); pip install mnn") from None
    return MNN


class Session:
    """A network and its memory. Not thread-safe. Raises EngineError when the network cannot be loaded."""

    def __init__(self, network: Path, threads: int, precision: str) -> None:
        self._mnn = import_mnn()
        options = {"backend": "CPU", "numThread": threads, "precision": "low" if precision == "f16" else "high"}
        try:
            with messages_to_stderr():
                self._network = self._mnn.Interpreter(str(network))
                self._session = self._network.createSession(options)
                self._input = self._network.getSessionInput(self._session)
        except Exception as error:  # noqa: BLE001  # it raises plain Exception
            raise EngineError(f"{network} cannot be loaded: {last_line(error)}") from None
        self.size: Size | None = None
        """The input size that it is laid out for; None: none."""
        self._image: Any = None
        self._outputs: list[Any] = []
        """In the usual memory order; NumPy reads and writes them in place, so they live as long as the session."""

    def run(self, tensor: Tensor) -> Raw:
        """Run the network on a tensor. The outputs are valid until the next run."""
        size = Size(tensor.shape[1], tensor.shape[0])
        if size != self.size:
            self._lay_out(size)
        image = self._image.getNumpyData()[0]
        np.multiply(tensor.transpose(2, 0, 1), 1 / 255, out=image, dtype=np.float32, casting="unsafe")
        self._input.copyFrom(self._image)
        if (status := self._network.runSession(self._session)) != 0:
            self.size = None
            raise EngineError(f"MNN cannot run the model at {size.width}x{size.height} (status {status})")
        found = self._network.getSessionOutputAll(self._session).values()
        if [output.getShape() for output in found] != [kept.getShape() for kept in self._outputs]:
            self._outputs = [self._plain(output.getShape()) for output in found]
        for output, kept in zip(found, self._outputs, strict=True):
            output.copyToHostTensor(kept)
        return tuple(kept.getNumpyData()[0] for kept in self._outputs)

    def _lay_out(self, size: Size) -> None:
        self.size = None
        shape = (1, 3, size.height, size.width)
        with messages_to_stderr():
            self._network.resizeTensor(self._input, shape)
            self._network.resizeSession(self._session)
        self._image = self._plain(shape)
        self.size = size

    def _plain(self, shape: tuple[int, ...]) -> Any:
        order = self._mnn.Tensor_DimensionType_Caffe
        return self._mnn.Tensor(shape, self._mnn.Halide_Type_Float, np.zeros(shape, np.float32), order)


@contextlib.contextmanager
def messages_to_stderr() -> Iterator[None]:
    """Send what native code writes to stdout to stderr meanwhile."""
    with _redirecting:
        try:
            kept = os.dup(_STDOUT)
            os.dup2(_STDERR, _STDOUT)
        except OSError:  # one of the two is closed
            yield
            return
        try:
            yield
        finally:
            ctypes.CDLL(None).fflush(None)  # its buffer, which a later message would write to the real stdout
            os.dup2(kept, _STDOUT)
            os.close(kept)
