"""What is fuzzed: something that makes an input of a seed, and something that takes it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from random import Random

CORPUS = Path(__file__).parent / "corpus"

Take = Callable[[bytes], str]
"""Takes an input and returns how it ended, in a word. Whatever it raises is a finding."""


class Unexpected(Exception):
    """A service did what it must not do; the text says what."""


class Ended(Unexpected):
    """It is not there any more."""


@dataclass(frozen=True, slots=True)
class Target:
    """One door."""

    name: str
    share: float
    """Of all inputs, 0-1."""
    make: Callable[[Random], bytes]
    open: Callable[[], AbstractContextManager[Take]]

    def input(self, seed: int, index: int) -> bytes:
        """Input number `index` of this seed."""
        return self.make(Random(f"{seed} {self.name} {index}"))


def corpus(name: str) -> list[bytes]:
    """The files of one door, in the order of their names."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
