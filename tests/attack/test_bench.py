"""The attack suite's evaluation of its measurements, and the frames and pictures that its attackers send."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tests.attack import pictures
from tests.attack.attackers import ATTACKS
from tests.attack.bench import Found, GoodCameras
from tests.attack.cameras import LOST_MS
from tests.attack.wire import frame

FOUND = Found("a", 40.0, 45.0, 41.0, 12.0, 0.6, 30.0, 0, True, True, {}, {}, {"done": 3})


def test_an_attack_within_all_limits_exceeds_none() -> None:
    assert FOUND.broken == []
    assert FOUND.ratio == pytest.approx(45 / 41)


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"p99_ms": 50.0}, "p99"),
        ({"p99_ms": math.inf}, "p99"),
        ({"more_mb": 301.0}, "memory"),
        ({"gap_s": 2.1}, "watchdog"),
        ({"lines_a_minute": 100.0}, "log"),
        ({"tracebacks": 1}, "traceback"),
        ({"alive": False}, "alive"),
        ({"answered": False}, "answers"),
        ({"attackers": {"vulnerable: a POST of another origin is served": 2}}, "a POST of another origin is served"),
    ],
)
def test_each_limit_is_checked(change: dict[str, object], broken: str) -> None:
    assert replace(FOUND, **change).broken == [broken]  # type: ignore[arg-type]  # each of its own type


def test_a_lost_frame_counts_as_a_very_late_one() -> None:
    cameras = GoodCameras([(float(at), 30.0, "detection_results") for at in range(98)])
    assert cameras.p99_ms(0, 98) == pytest.approx(30)
    cameras.frames += [(98.0, LOST_MS, "lost"), (99.0, LOST_MS, "rate_limited")]
    assert cameras.p99_ms(0, 100) > 1000
    assert cameras.unanswered(0, 100) == {"lost": 1, "rate_limited": 1}


def test_a_calm_phase_that_the_attack_still_affects_is_not_the_reference() -> None:
    assert replace(FOUND, p99_ms=300.0, p99_after_ms=LOST_MS).broken == ["p99"]


def test_a_busy_machine_is_recognised() -> None:
    found = replace(FOUND, p99_before_ms=LOST_MS, p99_ms=LOST_MS * 2)
    assert found.noisy
    assert found.broken == []


def test_too_few_frames_have_no_percentile() -> None:
    assert GoodCameras([(1.0, 30.0, "detection_results")]).p99_ms(0, 2) == math.inf


def test_decompression_bombs_are_small_to_send() -> None:
    assert len(pictures.flat("WEBP", 6320, 6320)) < 10_000
    assert len(pictures.png_with_texts(60, 1_000_000)) < 100_000
    assert len(pictures.jpeg_with_scans(98, 6240)) < 100_000


def test_frames_contain_their_length() -> None:
    assert frame(b"a" * 125)[1] == 0x80 | 125
    assert frame(b"a" * 126)[1:4] == b"\xfe\x00\x7e"
    assert frame(b"", length=29_000_000)[1] == 0xFF


def test_ci_runs_a_subset_of_the_attacks() -> None:
    quick = [one for one in ATTACKS.values() if one.quick]
    assert 15 <= len(quick) < len(ATTACKS)
