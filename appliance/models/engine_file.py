"""The file format of an engine built for one GPU: a header that names the GPU, then the vendor's data.

A TensorRT engine runs only on the GPU and with the version that it was built for. The header records both: a length in
four bytes (little-endian), then JSON of that length. The engine follows.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
from msgspec import structs

from appliance import files
from appliance.models.manifest import BuiltForEntry

SUFFIX = ".engine"
_MOST_HEADER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class BuiltFor:
    """The GPU, version and network that an engine was built for."""

    gpu: str
    """The driver's name for it, such as `Orin`."""
    compute: str
    """Compute capability, such as `8.7`."""
    multiprocessors: int
    """Boards with the same GPU name differ in these."""
    tensorrt: str
    """The TensorRT version that built it."""
    precision: str
    network: str
    """sha256 of the ONNX file it was built from."""
    sizes: tuple[str, ...]
    """Input sizes that it was tuned for, such as `640x384`; the largest is the upper bound."""

    @classmethod
    def of(cls, header: bytes | str) -> BuiltFor:
        """Parse the JSON of a header. Raises ValueError."""
        return cls(**structs.asdict(msgspec.json.decode(header, type=BuiltForEntry)))

    def objection(self, here: BuiltFor) -> str | None:
        """Why it cannot be used for `here`, as the rest of a sentence after the engine's name; None: it can."""
        if (self.gpu, self.compute, self.multiprocessors) != (here.gpu, here.compute, here.multiprocessors):
            return f"was built for {self._board()}, but this device has {here._board()}"
        if self.tensorrt != here.tensorrt:
            return f"was built by TensorRT {self.tensorrt}, but this device has {here.tensorrt}"
        if self.network != here.network:
            return "was built from another ONNX file"
        if self.precision != here.precision:
            return f"computes in {self.precision}, but {here.precision} is configured"
        if missing := [size for size in here.sizes if size not in self.sizes]:
            return f"was not built for the input size {missing[0]}"
        return None

    def _board(self) -> str:
        return f"{self.gpu} (compute capability {self.compute}, {self.multiprocessors} multiprocessors)"


def write(path: Path, built_for: BuiltFor, engine: bytes) -> None:
    """Write the file atomically. Raises OSError."""
    header = json.dumps(asdict(built_for)).encode()
    files.write(path, len(header).to_bytes(4, "little") + header + engine, 0o644)


def read_header(path: Path) -> BuiltFor | None:
    """What the engine was built for; None if the header is missing or unreadable."""
    try:
        with files.open_plain(path) as file:
            length = int.from_bytes(file.read(4), "little")
            return BuiltFor.of(file.read(length)) if length <= _MOST_HEADER_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None


def read_engine(path: Path) -> bytes:
    """The vendor's data after the header. Raises OSError."""
    with files.open_plain(path) as file:
        data = file.read()
    return data[4 + int.from_bytes(data[:4], "little") :]
