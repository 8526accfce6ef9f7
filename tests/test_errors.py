"""Texts of errors that come from elsewhere."""

from __future__ import annotations

import pytest

from appliance.errors import last_line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Check 'false' failed at src/core.cpp:12:\n\n  no such layer  \n\n", "no such layer"),
        ("one line", "one line"),
        ("", "RuntimeError"),
        (" \n", "RuntimeError"),
        ("x" * 1000, "x" * 300),
    ],
    ids=lambda text: text[:20],
)
def test_the_last_line_of_an_error_is_never_empty_nor_endless(text: str, expected: str) -> None:
    assert last_line(RuntimeError(text)) == expected
