"""Units that nobody restarts by hand for years."""

from __future__ import annotations

from pathlib import Path

import pytest

_UNITS = Path(__file__).parents[2] / "systemd/units"


@pytest.mark.parametrize("path", sorted(_UNITS.glob("*.path")), ids=lambda path: path.stem)
def test_a_path_unit_that_has_failed_is_started_again(path: Path) -> None:
    """tests/boot/test_waiting.py shows under systemd that this works."""
    assert "\nWants=appliance-rearm@%p.timer\n" in path.read_text(encoding="utf-8")
