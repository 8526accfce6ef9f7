"""A separate environment for Ultralytics, so that the appliance's never contains torch.

It is created once, in a minute or two, and takes about 1.5 GB. If pip's plain `torch` includes CUDA, point pip at a CPU
build with its own settings (PIP_INDEX_URL, PIP_FIND_LINKS); this file names no registry.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TORCH, TORCHVISION = "2.13.0", "0.28.0"
"""Matching versions. torchvision's released builds need torch with CUDA, so only its metadata is installed: ultralytics
checks the version at import, and has its own NMS (`TorchNMS`)."""

STEPS = (
    (f"torch=={TORCH}",),
    (
        "numpy>=1.26,<3",
        "opencv-python-headless>=4.9,<6",
        "matplotlib",
        "onnx",
        "onnxruntime",
        "pillow",
        "polars",
        "psutil",
        "pycocotools",
        "pyyaml",
        "requests",
        "ultralytics-thop",
    ),
    ("--no-deps", "ultralytics>=8.4,<9"),  # it depends on torchvision, and on OpenCV with a GUI
)


def ensure(folder: Path) -> Path:
    """Create the environment if necessary and return its Python. Raises CalledProcessError if a step fails."""
    python = folder / "bin" / "python"
    done = folder / "made-of.txt"
    made_of = "\n".join(word for step in STEPS for word in step)
    if done.exists() and done.read_text() == made_of:
        return python
    print(f"creating {folder} (once; about 1.5 GB, a minute or two)", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    if not sys.stdout.isatty():
        pip.append("--quiet")  # progress bars on a terminal only; a log gets these three lines
    for number, step in enumerate(STEPS, 1):
        print(f"[{number}/{len(STEPS)}] pip install {' '.join(step)}", flush=True)
        subprocess.run([*pip, *step], check=True)
    _write_torchvision_metadata(python)
    done.write_text(made_of)
    return python


def _write_torchvision_metadata(python: Path) -> None:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    info = Path(packages) / f"torchvision-{TORCHVISION}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torchvision\nVersion: {TORCHVISION}\n")
