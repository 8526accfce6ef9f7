"""The arm64 bundle, unpacked and run on an emulated processor."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from appliance.values import Size
from appliance.vision import scene
from appliance.vision.decode import encode_jpeg
from tests.boot import rootfs
from tests.boot.conftest import Measured
from tests.provisioning.conftest import Bundle

pytestmark = pytest.mark.provision


def test_the_arm64_wheels_run_inference(bundle: Bundle, tmp_path: Path, measured: Measured) -> None:
    if shutil.which("qemu-aarch64-static") is None:
        pytest.skip("qemu-aarch64-static missing: apt install qemu-user-static")
    root = rootfs.debian(("python3", "libgomp1", "libstdc++6"), "bookworm", "arm64")
    bundled = tmp_path / "bundle"
    with tarfile.open(bundle("arm64", "3.11")) as archive:
        archive.extractall(bundled)
    packages = tmp_path / "packages"
    for wheel in sorted((bundled / "wheels").glob("*.whl")):
        with zipfile.ZipFile(wheel) as content:
            content.extractall(packages)
    picture = tmp_path / "street.jpg"
    picture.write_bytes(encode_jpeg(scene.draw(Size(640, 360))[0], 90))
    libraries = ":".join(f"{root}/{folder}/aarch64-linux-gnu" for folder in ("lib", "usr/lib"))
    started_s = time.monotonic()
    done = subprocess.run(
        ["qemu-aarch64-static", "-cpu", "cortex-a72", "-L", root, "-E", f"PYTHONPATH={packages}",
         "-E", f"PYTHONHOME={root}/usr", "-E", f"LD_LIBRARY_PATH={libraries}",
         f"{root}/usr/bin/python3.11", "-m", "appliance", "detect", picture, "--set", f"model.dir={bundled / 'models'}",
         "--set", "flow.max_side=320"],
        capture_output=True, text=True, timeout=900, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "stop sign" in done.stdout
    measured(f"the STOP sign was found on an emulated Cortex-A72, in {time.monotonic() - started_s:.0f} s")
