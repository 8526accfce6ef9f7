"""A small mutator. Its output depends only on the corpus and the random generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

ODD_NUMBERS = (0, 1, -1, 127, 128, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**31, 2**32, 2**53, 2**63, 2**64, 10**30)
ODD_VALUES: tuple[Any, ...] = (
    *ODD_NUMBERS, None, True, False, "", "x" * 5000, "../../x", "\x00", "\ud800", "\n<2>forged\x1b[31m", 0.1, -0.0,
    1e308, float("nan"), float("inf"), [], {}, [[]], {"": None}, [None] * 50, "1e999", "٣", "/etc/passwd",
)  # fmt: skip
_TOKENS = (
    b"\0",
    b"\xff" * 4,
    b"\r\n",
    b"\n",
    b"{",
    b"}",
    b"[" * 50,
    b'"',
    b"-",
    b"%s",
    b"../",
    b"9" * 30,
    b"\xed\xa0\x80",
)
_LONGEST = 200_000


def mutated(corpus: Sequence[bytes], random: Random, tokens: Sequence[bytes] = ()) -> bytes:
    """Change an input of the corpus in one to eight places; one in fifty is unchanged."""
    data = bytearray(random.choice(corpus))
    if random.random() < 0.02:
        return bytes(data)
    for _ in range(random.choice((1, 1, 1, 2, 2, 4, 8))):
        random.choice(_WAYS)(data, random, corpus, (*_TOKENS, *tokens))
    return bytes(data[:_LONGEST])


def mutated_tree(tree: Any, random: Random) -> Any:
    """Replace, remove or move one value of a JSON-like tree."""
    if isinstance(tree, dict) and tree and random.random() < 0.9:
        key = random.choice([*tree])
        if random.random() < 0.1:
            return {name: value for name, value in tree.items() if name != key}
        if random.random() < 0.1:
            return tree | {random.choice(("", "x" * 300, "../up", key + "s")): tree[key]}
        return tree | {key: mutated_tree(tree[key], random)}
    if isinstance(tree, list) and tree and random.random() < 0.8:
        at = random.randrange(len(tree))
        return [*tree[:at], mutated_tree(tree[at], random), *tree[at + random.choice((0, 1, 1)) :]]
    return random.choice((random.choice(ODD_VALUES), tree, [tree], {"a": tree}, random.choice(ODD_VALUES)))


_Way = Callable[[bytearray, Random, Sequence[bytes], Sequence[bytes]], None]


def _flip(data: bytearray, random: Random, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _set(data: bytearray, random: Random, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] = random.randrange(256)


def _number(data: bytearray, random: Random, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    width, number = random.choice((1, 2, 4)), random.choice(ODD_NUMBERS)
    at = random.randrange(len(data) + 1)
    data[at : at + width] = (number % (1 << 8 * width)).to_bytes(width, random.choice(("big", "little")))


def _cut(data: bytearray, random: Random, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    at = random.randrange(len(data) + 1)
    del data[at : at + random.choice((1, 4, 50, len(data)))]


def _repeat(data: bytearray, random: Random, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    at = random.randrange(len(data) + 1)
    piece = bytes(data[at : at + random.choice((1, 8, 100))])
    data[at:at] = piece * random.choice((1, 2, 10, 100))


def _move(data: bytearray, random: Random, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    start, to = random.randrange(len(data) + 1), random.randrange(len(data) + 1)
    piece = data[start : start + random.choice((4, 20, 200))]
    del data[start : start + len(piece)]
    data[to:to] = piece


def _splice(data: bytearray, random: Random, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    other = random.choice(corpus)
    data[random.randrange(len(data) + 1) :] = other[random.randrange(len(other) + 1) :]


def _token(data: bytearray, random: Random, corpus: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    at = random.randrange(len(data) + 1)
    token = random.choice(tokens)
    data[at : at + random.choice((0, len(token)))] = token


_WAYS: tuple[_Way, ...] = (_flip, _set, _number, _cut, _repeat, _move, _splice, _token, _token)
