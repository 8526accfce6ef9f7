"""A fuzzing target: a function that creates an input from a seed, and one that processes it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from random import Random

CORPUS = Path(__file__).parent / "corpus"

Take = Callable[[bytes], str]
"""Processes an input and returns the outcome in a word. Any exception is a finding."""


class Unexpected(Exception):
    """The service did something that it must not do, as the text says."""


class Ended(Unexpected):
    """The service has ended."""


@dataclass(frozen=True, slots=True)
class Target:
    """One parser or socket."""

    name: str
    share: float
    """The part of all inputs, 0-1."""
    make: Callable[[Random], bytes]
    open: Callable[[], AbstractContextManager[Take]]

    def input(self, seed: int, index: int) -> bytes:
        """Input number `index` of this seed."""
        return self.make(Random(f"{seed} {self.name} {index}"))


def corpus(name: str) -> list[bytes]:
    """The corpus files of one target, sorted by name."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
