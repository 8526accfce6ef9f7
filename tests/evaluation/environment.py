"""Ultralytics' side has an environment of its own: the appliance's never holds torch.

Made once, in a minute or two and about 1.5 GB; later calls find it there. Where pip's plain `torch` brings CUDA along,
point pip at a CPU build by its own settings (PIP_INDEX_URL, PIP_FIND_LINKS): this file names no registry.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TORCH, TORCHVISION = "2.13.0", "0.28.0"
"""The pair that belongs together. torchvision's released builds need CUDA's torch, so only its metadata is written:
ultralytics asks for the version at import, and has a non-maximum suppression of its own (`TorchNMS`)."""

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
    ("--no-deps", "ultralytics>=8.4,<9"),  # its list names torchvision, and OpenCV with a screen
)


def ensure(folder: Path) -> Path:
    """The environment's Python, made first if it is not there. Raises CalledProcessError when a step fails."""
    python = folder / "bin" / "python"
    done = folder / "made-of.txt"
    made_of = "\n".join(word for step in STEPS for word in step)
    if done.exists() and done.read_text() == made_of:
        return python
    print(f"making {folder} (once; about 1.5 GB, a minute or two)", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    if not sys.stdout.isatty():
        pip.append("--quiet")  # a person sees pip's progress bars, a log these three lines
    for number, step in enumerate(STEPS, 1):
        print(f"[{number}/{len(STEPS)}] pip install {' '.join(step)}", flush=True)
        subprocess.run([*pip, *step], check=True)
    _write_torchvision_metadata(python)
    done.write_text(made_of)
    return python


def _write_torchvision_metadata(python: Path) -> None:
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([str(python), "-c", ask], check=True, capture_output=True, text=True).stdout.strip()
    info = Path(packages) / f"torchvision-{TORCHVISION}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torchvision\nVersion: {TORCHVISION}\n")
