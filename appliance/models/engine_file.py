"""An engine that was built for one GPU, as a file: what it was built for, then what the vendor's library reads.

TensorRT's engines run on the GPU and with the version that they were built with, and nowhere else. The file says which
in front of them: four bytes with a length (little-endian), JSON of that length, the engine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from appliance import files

SUFFIX = ".engine"
_MOST_HEADER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class BuiltFor:
    """What an engine was built for, and of what."""

    gpu: str
    """As the driver calls it: `Orin`."""
    compute: str
    """Its compute capability: `8.7`."""
    multiprocessors: int
    """Boards of one name differ in these."""
    tensorrt: str
    """The version that built it."""
    precision: str
    network: str
    """sha256 of the ONNX file it was built from."""
    sizes: tuple[str, ...]
    """Input sizes that it was tuned for, `640x384`; the largest bounds all others."""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> BuiltFor:
        """Out of JSON. Raises KeyError, TypeError or ValueError."""
        return cls(
            str(told["gpu"]), str(told["compute"]), int(told["multiprocessors"]), str(told["tensorrt"]),
            str(told["precision"]), str(told["network"]), tuple(str(size) for size in told["sizes"]),
        )  # fmt: skip

    def objection(self, here: BuiltFor) -> str | None:
        """Why it cannot serve `here`, as the end of a sentence that begins with its name; None: it can."""
        if (self.gpu, self.compute, self.multiprocessors) != (here.gpu, here.compute, here.multiprocessors):
            return f"was built for {self._board()}, and this is {here._board()}"
        if self.tensorrt != here.tensorrt:
            return f"was built by TensorRT {self.tensorrt}, and this box has {here.tensorrt}"
        if self.network != here.network:
            return "was built from another ONNX file"
        if self.precision != here.precision:
            return f"computes in {self.precision}, and {here.precision} is asked for"
        if missing := [size for size in here.sizes if size not in self.sizes]:
            return f"was not built for inputs of {missing[0]}"
        return None

    def _board(self) -> str:
        return f"{self.gpu} (compute capability {self.compute}, {self.multiprocessors} multiprocessors)"


def write(path: Path, built_for: BuiltFor, engine: bytes) -> None:
    """Put the file there, whole or not at all. Raises OSError."""
    header = json.dumps(asdict(built_for)).encode()
    files.write(path, len(header).to_bytes(4, "little") + header + engine, 0o644)


def read_header(path: Path) -> BuiltFor | None:
    """What it was built for; None where it cannot be read, or does not say."""
    try:
        with files.open_plain(path) as file:
            length = int.from_bytes(file.read(4), "little")
            return BuiltFor.of(json.loads(file.read(length))) if length <= _MOST_HEADER_BYTES else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def read_engine(path: Path) -> bytes:
    """What follows the header. Raises OSError."""
    with files.open_plain(path) as file:
        data = file.read()
    return data[4 + int.from_bytes(data[:4], "little") :]
