"""The service's side of decoding in other processes.

Rules of this file:
- One process for each thread that decodes at the same moment, started when it is first needed. Each handles one image
  at a time, so a crash costs one frame.
- A process that crashes or takes too long is replaced; its image is refused as damaged. One that ended while it waited
  costs no image. Where none can be started, inference has failed, and the image may be good.
- Pixels are copied before they are used: the process could change them at any time.
- The size of an answer is computed here, not taken from the process.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import logging
import math
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence

import numpy as np

from appliance.errors import BadFrame, EngineError
from appliance.ports import Tensor
from appliance.values import Picture
from appliance.vision.isolation import messages
from appliance.vision.letterbox import Letterbox
from appliance.vision.thumbnail import Cells
from appliance.vision.window import PicturePart

log = logging.getLogger(__name__)

_STARTS_WITHIN_S = 60.0
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_SPARE_BYTES = 128_000_000
_INPUTS = 2
"""Inputs of the largest size that one image may fill: the whole picture and its crops. Unused memory costs nothing."""
_BYTES_PER_PIXEL = 8
"""The most that decoding takes: see `decode.peak_bytes`."""


class IsolatedDecoder:
    """Decodes in processes of its own.

    `max_frame_bytes`, `max_pixels`: the largest file and image. `max_side`: of the usual network input. The memory that
    is shared with a process grows with the first larger one: a network of a fixed size, or other settings.
    """

    def __init__(self, *, max_frame_bytes: int, max_side: int, max_pixels: int, decodes_within_s: float) -> None:
        page = mmap.PAGESIZE
        self._pixels_at = -(-max_frame_bytes // page) * page
        self._shared_bytes = self._pixels_at + -(-max(_INPUTS * max_side**2 * 3, 100_000) // page) * page
        self._decodes_within_s = decodes_within_s
        self._idle: list[_Process] = []
        self._lock = threading.Lock()
        self._closed = False
        self._memory_bytes = max_pixels * _BYTES_PER_PIXEL + _SPARE_BYTES
        self._warned = False
        self._forker, self._first = self._start()

    def load(self, picture: Picture, place: Letterbox) -> Tensor:
        """See `decode.load`. Raises BadFrame."""
        shape = (place.outer.height, place.outer.width, 3)
        with self._process(math.prod(shape)) as process:
            found = process.ask(picture, place)
            if found != (place.outer.width, place.outer.height):
                raise process.nonsense(found)
            return process.copy(shape, np.dtype(np.uint8))

    def load_windows(self, picture: Picture, windows: Sequence[PicturePart]) -> list[Tensor]:
        """See `decode.load_windows`. Raises BadFrame."""
        shapes = [(window.place.outer.height, window.place.outer.width, 3) for window in windows]
        with self._process(sum(math.prod(shape) for shape in shapes)) as process:
            found = process.ask(picture, tuple(windows))
            if found != (shapes[0][1], shapes[0][0]):
                raise process.nonsense(found)
            starts = itertools.accumulate((math.prod(shape) for shape in shapes), initial=0)
            return [process.copy(shape, np.dtype(np.uint8), at) for shape, at in zip(shapes, starts, strict=False)]

    def mean_colours(self, picture: Picture) -> Cells | None:
        """See `thumbnail.mean_colours`."""
        if not picture.plain_jpeg:
            return None
        with self._process() as process:
            found = process.ask(picture, None)
            if found is None:
                return None
            if not messages.is_thumbnail(*found):
                raise process.nonsense(found)
            return process.copy((found[1], found[0], 3), np.dtype(np.float32))

    @property
    def first(self) -> int:
        """The process that forks the others."""
        return self._first.pid

    def processes(self) -> list[int]:
        """The decoding processes that wait for an image."""
        with self._lock:
            return [process.number for process in self._idle]

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            self._closed = True
            for process in self._idle:
                process.close()
            self._idle.clear()
            self._forker.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._first.wait(5)
        if self._first.returncode is None:
            self._first.kill()
            self._first.wait()

    @contextlib.contextmanager
    def _process(self, pixel_bytes: int = 0) -> Iterator[_Process]:
        """A process that can return this many bytes of pixels."""
        with self._lock:
            if self._pixels_at + pixel_bytes > self._shared_bytes:
                self._share_more(pixel_bytes)
            process = self._next_idle() or self._fork()
        try:
            yield process
        except _Ended as error:
            process.close()
            log.error("the decoding process ended: %s", error, extra={"kind": "decoder", "code": "image_corrupt"})
            raise BadFrame(f"the image cannot be decoded: {error}", "image_corrupt") from None
        except BaseException:
            self._keep(process)
            raise
        self._keep(process)

    def _start(self) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "appliance.vision.isolation.child", str(there.fileno()),
                   str(self._pixels_at), str(self._memory_bytes)]  # fmt: skip
        try:
            first = subprocess.Popen(
                command, pass_fds=[there.fileno()], env=_environment(), stdin=subprocess.DEVNULL, start_new_session=True
            )
        except OSError:
            here.close()
            raise
        finally:
            there.close()
        here.settimeout(_STARTS_WITHIN_S)
        self._ready = False
        return here, first

    def _next_idle(self) -> _Process | None:
        """A process that waits; those that have ended meanwhile, as when memory ran out, cost no image."""
        while self._idle:
            if (process := self._idle.pop()).alive:
                return process
            process.release()
        return None

    def _fork(self) -> _Process:
        """Another decoding process. Raises EngineError when there cannot be one, which is no picture's fault."""
        try:
            return self._forked()
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None) in _NO_ROOM:  # of this process: the first one is well
                raise _not_started(error) from None
            hung = isinstance(error, TimeoutError)
            problem: Exception = error
        try:
            self._restart()
            if not hung:  # one that hangs would hang again
                return self._forked()
        except (OSError, ValueError) as error:
            problem = error
        raise _not_started(problem)

    def _forked(self) -> _Process:
        """Raises OSError and ValueError."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with there, _shared_file(self._shared_bytes) as shared:
                memory = mmap.mmap(shared, self._shared_bytes)
                here.settimeout(_STARTS_WITHIN_S)
                if not self._ready:
                    self._receive(self._forker)
                    self._ready = True
                socket.send_fds(self._forker, [b"fork"], [there.fileno(), shared])
                number = int(self._receive(self._forker))
            process = _Process(here, memory, self._pixels_at, number, self._decodes_within_s)
            problem = here.recv(messages.MOST_BYTES).decode("utf-8", "replace")
            if problem and not self._warned:
                log.warning("decoding without system call filter: %s. Install libseccomp2", problem)
                self._warned = True
            return process
        except (OSError, ValueError):
            here.close()
            raise

    def _receive(self, link: socket.socket) -> bytes:
        answer = link.recv(messages.MOST_BYTES)
        if not answer:
            raise OSError("it ended")
        return answer

    def _restart(self) -> None:
        if self._closed:
            return
        self._forker.close()
        self._first.kill()
        self._first.wait()
        self._forker, self._first = self._start()

    def _keep(self, process: _Process) -> None:
        with self._lock:
            if self._closed or process.shared_bytes < self._shared_bytes:
                process.close()
            else:
                self._idle.append(process)

    def _share_more(self, pixel_bytes: int) -> None:
        """Replace the processes by others that can return more; those that decode now end afterwards."""
        self._shared_bytes = self._pixels_at + -(-pixel_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        for process in self._idle:
            process.close()
        self._idle.clear()


class _Ended(Exception):
    """A decoding process has ended, or cannot be trusted any more."""


class _Process:
    """One decoding process and the memory shared with it."""

    def __init__(self, link: socket.socket, memory: mmap.mmap, pixels_at: int, number: int, within_s: float) -> None:
        self._link, self._memory, self._pixels_at, self.number = link, memory, pixels_at, number
        self.shared_bytes = len(memory)
        link.settimeout(within_s)

    @property
    def alive(self) -> bool:
        """Whether an idle process is still there: its end of the socket is open, and it has sent nothing unasked."""
        events = select.poll()
        events.register(self._link, select.POLLIN)
        return not events.poll(0)

    def ask(self, picture: Picture, place: messages.Place) -> tuple[int, int] | None:
        """Width and height of the pixels; None: no thumbnail. Raises BadFrame, _Ended."""
        size = len(picture.data)
        if size > self._pixels_at:
            raise BadFrame(f"the image has more than {self._pixels_at} bytes", "image_too_large")
        try:
            self._memory[:size] = picture.data
            self._link.send(messages.request(picture, place))
            answer = self._link.recv(messages.MOST_BYTES)
        except TimeoutError:
            raise _Ended("decoding takes too long") from None
        except ConnectionError:
            answer = b""
        except OSError as error:
            raise _Ended(error.strerror or str(error)) from None
        if not answer:
            raise _Ended("the decoder crashed on it")
        try:
            return messages.read_answer(answer)
        except ValueError as error:
            raise _Ended(str(error)) from None

    def copy(self, shape: tuple[int, int, int], kind: np.dtype, at: int = 0) -> np.ndarray:
        """The pixels, copied from the shared memory. `at`: bytes of other pixels before them."""
        count = shape[0] * shape[1] * shape[2]
        return np.frombuffer(self._memory, kind, count, self._pixels_at + at).reshape(shape).copy()

    def nonsense(self, found: object) -> _Ended:
        return _Ended(f"an answer of the wrong size ({found})")

    def close(self) -> None:
        """End the process. It may hang, so closing its socket is not enough."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.number, signal.SIGKILL)
        self.release()

    def release(self) -> None:
        """Release what belongs to a process that has ended: its number may be another one's."""
        self._link.close()
        with contextlib.suppress(BufferError):
            self._memory.close()


@contextlib.contextmanager
def _shared_file(size: int) -> Iterator[int]:
    """A file in memory that nobody can make smaller: that would end this process with SIGBUS."""
    shared = os.memfd_create("pictures", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(shared, size)
        fcntl.fcntl(shared, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        yield shared
    finally:
        os.close(shared)


def _not_started(problem: Exception) -> EngineError:
    return EngineError(
        f"the process that decodes pictures does not start: {getattr(problem, 'strerror', '') or problem}"
    )


def _environment() -> dict[str, str]:
    """Without tokens, which the service's environment may contain."""
    kept = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"OPENBLAS_NUM_THREADS": "1"}
