"""The security papers name files that exist, and mark what is open."""

from __future__ import annotations

import re

from tests.conftest import ROOT

PAPER = ROOT / "docs/security.md"


def rows() -> list[list[str]]:
    """The rows of the tables about the law."""
    text = PAPER.read_text(encoding="utf-8").split("\n## The law\n")[1]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [line for line in lines if line[0] not in ("provision", "requirement")]


def test_every_file_that_shows_something_exists() -> None:
    named = {name for row in rows() for name in re.findall(r"`([\w/.@-]+\.(?:py|sh|md))`", row[-1])}
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_a_row_shows_what_it_claims_or_says_that_it_is_open() -> None:
    unproven = [row[0] for row in rows() if len(row) < 3 and "**open**" not in row[1]]
    assert unproven == [
        "5.8-3 sensing documented",
        "6-1, 6-4, 6-5 personal data and telemetry",
        "I (1) appropriate level of security",
    ]


def test_both_papers_are_complete() -> None:
    text = PAPER.read_text(encoding="utf-8")
    assert all(f"5.{number}-" in text for number in range(1, 14))
    assert all(f"(2)({letter})" in text or f"({letter})" in text for letter in "abcdefghijklm")
    policy = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "server.security_contact" in policy
    assert "server.supported_until" in policy
    assert "placeholder" not in policy
    assert "example.com" not in policy
