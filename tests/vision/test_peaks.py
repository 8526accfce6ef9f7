"""Decoding takes no more memory than its prediction says: measured, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="no high-water mark that can be set back")
def test_no_picture_takes_more_memory_than_its_header_says() -> None:
    command = [sys.executable, "-m", "tests.vision.peaks", "2000", "1500"]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, check=True, timeout=300
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert len(found) > 30
    wrong = [row for row in found if not row[3] * 0.95 <= row[2] <= row[3] * 2 + 12e6]
    assert not wrong
