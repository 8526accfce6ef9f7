"""Install NVIDIA's bindings for `test_names.py`, each version into its own folder (`make nvidia`).

Only the bindings are installed, about 20 MB in total; the libraries behind them need a GPU. A version without a build
for this Python is skipped, and its test says so. `--write` records their names in `names.json`, which the stand-in
follows.
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
    "cuda-12.9.1": ("cuda-bindings==12.9.1", "cuda-pathfinder==1.8.3"),  # the minimum of the extra `tensorrt`
    "cuda-13.5.0": ("cuda-bindings==13.5.0", "cuda-pathfinder==1.8.3"),
}


def install(name: str) -> bool:
    """Install one version into its folder unless it is there. Returns whether it is available."""
    folder = FOLDER / name
    if folder.is_dir():
        return True
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*pip, "--only-binary=:all:", "--target", folder, *PACKAGES[name]], capture_output=True)
    return done.returncode == 0


def exported(name: str) -> dict[str, Any]:
    """The names that the installed bindings export, read in a separate process."""
    program = Path(__file__).with_name("read_names.py")
    done = subprocess.run(
        [sys.executable, program, FOLDER / name], capture_output=True, text=True, timeout=120, check=True
    )
    names: dict[str, Any] = json.loads(done.stdout)
    return names


def main() -> None:
    installed = [name for name in PACKAGES if install(name)]
    for name in PACKAGES:
        print(f"{name}: {'installed' if name in installed else 'not available for this Python'}")
    if "--write" in sys.argv:
        lines = [f'"{name}": {json.dumps(exported(name))}' for name in installed]
        NAMES.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
