"""Brings NVIDIA's own bindings for `test_nvidia_names.py`, each version into a folder of its own (`make nvidia`).

Only the bindings, about 20 MB in all: what they bind needs a GPU. A version that has no build for this Python is left
out, and its test says so. `--write` records what they offer as `names.json`, which the stand-in follows.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / ".cache" / "nvidia" / f"python{sys.version_info.major}.{sys.version_info.minor}"
NAMES = Path(__file__).with_name("names.json")
PACKAGES = {
    "tensorrt-8.6.1": ("tensorrt-bindings==8.6.1",),
    "tensorrt-10.3.0": ("tensorrt-cu12-bindings==10.3.0",),  # as in JetPack 6
    "tensorrt-11.4.0.106": ("tensorrt-cu12-bindings==11.4.0.106",),
    "cuda-12.9.1": ("cuda-bindings==12.9.1", "cuda-pathfinder==1.8.3"),  # the least that the extra `tensorrt` takes
    "cuda-13.5.0": ("cuda-bindings==13.5.0", "cuda-pathfinder==1.8.3"),
}


def install(name: str) -> bool:
    """Put one version into its folder, unless it is there. Returns whether it could be had."""
    folder = FOLDER / name
    if folder.is_dir():
        return True
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*pip, "--only-binary=:all:", "--target", folder, *PACKAGES[name]], capture_output=True)
    return done.returncode == 0


def offered(name: str) -> dict[str, Any]:
    """What the installed bindings offer, read in a process of its own."""
    program = Path(__file__).with_name("read_names.py")
    done = subprocess.run(
        [sys.executable, program, FOLDER / name], capture_output=True, text=True, timeout=120, check=True
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def main() -> None:
    there = [name for name in PACKAGES if install(name)]
    for name in PACKAGES:
        print(f"{name}: {'there' if name in there else 'cannot be had for this Python'}")
    if "--write" in sys.argv:
        lines = [f'"{name}": {json.dumps(offered(name))}' for name in there]
        NAMES.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
