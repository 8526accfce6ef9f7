"""The memory of a large image is returned, whichever thread decoded it; what stays is not visited again."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import io, sys, threading
from pathlib import Path
from PIL import Image
from appliance.values import Size
from appliance.vision.admission import Admission
from appliance.vision.decode import load, read_header
from appliance.vision.letterbox import fit, input_size

file = io.BytesIO()
Image.new("RGB", (4000, 3000)).save(file, "PNG", compress_level=1)
picture, admission = read_header(file.getvalue(), 10**8), Admission()
place = fit(picture.size, input_size(picture.size, 640, 32))

def look():
    with admission.admitted(picture, place.inner):
        load(picture, place)

def resident():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) // 1000

look()
before = resident()
held, done = threading.Barrier(4), threading.Event()
def one():
    look()
    held.wait()  # a thread that ends would release its memory
    done.wait()
threads = [threading.Thread(target=one, daemon=True) for _ in range(3)]
for thread in threads:
    thread.start()
held.wait()
print(resident() - before)
done.set()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc_trim exists only in glibc")
def test_every_thread_returns_the_memory_of_a_large_image() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, check=True, timeout=120
    )
    assert int(done.stdout) < 20  # MB; without heap.trim 48 to 144 remain


HOLES = """
import sys
from pathlib import Path
from appliance import heap

if sys.argv[1] == "settled":
    heap.settle()

def resident():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) // 1000

del [bytearray(8_000_000)][:]  # the first freed picture
before = resident()
kept = []
for _ in range(60):
    picture = bytearray(1_000_000)
    kept.append(bytearray(50_000))  # something smaller that lives longer
    del picture
pictures = [bytearray(1_000_000) for _ in range(60)]
kept += [bytearray(50_000) for _ in range(60)]
del pictures
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt exists only in glibc")
def test_freed_pictures_leave_no_holes_in_the_heap() -> None:
    grown = [
        int(subprocess.run(
            [sys.executable, "-c", HOLES, how], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, check=True,
            timeout=120,
        ).stdout)
        for how in ("settled", "as it is")
    ]  # fmt: skip
    assert grown[0] < 12, grown
    assert grown[1] > grown[0] + 20, f"the allocator no longer needs this: {grown}"


COLLECTED = """
import gc, weakref
from appliance import heap

class Part:
    def __init__(self):
        self.myself = self

gc.collect()
gc.disable()
part = Part()
gone = weakref.ref(part)
everything = len(gc.get_objects())
heap.freeze()
print(len(gc.get_objects()) < everything / 10, end=" ")
del part
gc.collect()
print(gone() is None, end=" ")
heap.freeze()
print(gone() is None)
"""


def test_what_is_frozen_is_visited_no_more_and_leaves_when_it_is_frozen_again() -> None:
    """As after a reload, when the same process builds another service."""
    command, root = [sys.executable, "-c", COLLECTED], Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, check=True, timeout=120)
    assert done.stdout.split() == [b"True", b"False", b"True"]
