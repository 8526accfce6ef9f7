"""Durations as text."""

from __future__ import annotations

import pytest

from appliance import durations


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90.0), ("10m", 600.0), ("2h", 7200.0), ("0s", 0.0)])
def test_a_number_with_a_unit_is_parsed(text: str, seconds: float) -> None:
    assert durations.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "-5m", "1.5h", "10 m", "1h30m", "9999999s"])
def test_any_other_text_is_none(text: str) -> None:
    assert durations.parse(text) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (119, "119 s"),
        (119.9, "119 s"),
        (120, "2 min"),
        (3600, "60 min"),
        (7319.9, "2 h 1 min"),
        (7500, "2 h 5 min"),
        (86400, "24 h 0 min"),
        (3 * 86400, "3 days"),
        (3.9 * 86400, "3 days"),
    ],
)
def test_a_duration_is_formatted_in_suitable_units(seconds: float, words: str) -> None:
    assert durations.in_words(seconds) == words
