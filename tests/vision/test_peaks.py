"""Decoding takes no more memory than predicted, measured in separate processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="the memory high-water mark cannot be reset"
)
def test_no_image_takes_more_memory_than_predicted() -> None:
    command = [sys.executable, "-m", "tests.vision.peaks", "2000", "1500"]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, check=True, timeout=300
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert len(found) > 30
    wrong = [row for row in found if not row[3] * 0.95 <= row[2] <= row[3] * 2 + 12e6]
    assert not wrong
