"""What stands above the login prompt of a box: where to look, as text and as a code for a phone's camera."""

from __future__ import annotations

from collections.abc import Sequence

import segno

_HALVES = {(False, False): "█", (False, True): "▀", (True, False): "▄", (True, True): " "}
"""Two modules, one above the other, in one character. A console is dark: what is light there is what we draw."""
_QUIET_MODULES = 4
"""The light border that ISO/IEC 18004 asks for around a code."""


def signboard(addresses: Sequence[str]) -> str:
    """The addresses, and the first as a QR code."""
    lines = [f"Appliance: {' or '.join(addresses)}", *qr(addresses[0])]
    return "\n".join(lines)


def qr(text: str) -> list[str]:
    """A QR code in half-blocks, for light letters on a dark ground, of the smallest size that holds the text."""
    code = segno.make(text, micro=False, error="m")
    rows = [[bool(module) for module in row] for row in code.matrix_iter(border=_QUIET_MODULES)]
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    return [
        "".join(_HALVES[pair] for pair in zip(above, below, strict=True))
        for above, below in zip(rows[::2], rows[1::2], strict=True)
    ]
