"""Make a bundle: one file that installs a device without a network (`make bundle ARCH=arm64 PYTHON_VERSION=3.11`).

A bundle contains the wheel of this source tree and its dependencies with their hashes, the model, units and scripts,
and checksums of all files. Wheels for another architecture are downloaded, not built. systemd-python publishes no
wheels: for this machine it is built here, for another one it is taken from Debian's package. A bundle for a Jetson also
contains what TensorRT needs in addition to JetPack: CUDA's bindings. One for arm64 contains the engine MNN, and the
model as ONNX. If the model has an INT8 version (`appliance model quantize`), that goes along.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from types import ModuleType

from pip._vendor.packaging.markers import Marker

from appliance import files
from appliance.errors import ModelError
from appliance.models import bundle as bundles
from appliance.workshop.fetch import fetch
from appliance.workshop.known_models import KNOWN

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "provisioning/requirements.lock"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# The manylinux versions that work on Debian 12 and Ubuntu 22.04; pip accepts no range.
TAGS = ("_2_35", "_2_34", "_2_31", "_2_28", "_2_27", "_2_26", "_2_24", "_2_17", "2014")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
SUITES = {"3.11": "bookworm", "3.13": "trixie"}
"""The Debian release whose python3-systemd is built for each Python version."""
NOT_ON_DEVICES = ("requirements.lock", "image", "fleet", "site", "monitoring")
"""Of `provisioning`: a bundle has its own hashes, and updates over LTE stay small."""
JETPACKS = ("3.10", "3.12")
"""Python versions of JetPack 6 and 7. The other versions belong to Debian, which does not run on a Jetson."""


def _load_locked() -> ModuleType:
    """locked.py, which the installer runs with the system's Python."""
    spec = importlib.util.spec_from_file_location("locked", Path(__file__).with_name("locked.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


locked = _load_locked()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    here = "arm64" if platform.machine() == "aarch64" else "amd64"
    parser.add_argument("--arch", choices=MACHINES, default=here)
    parser.add_argument("--python", choices=("3.10", "3.11", "3.12", "3.13"), default=HERE)
    parser.add_argument("--model", default="yolo11n", help="a folder under models/ (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "bundle")
    options = parser.parse_args()
    model = ROOT / "models" / options.model
    if not (model / "manifest.json").exists():
        print(f"bundle: model not found: {model}. Download the default model with: make model", file=sys.stderr)
        return 1
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = build(Path(folder), options.arch, options.python, model, options.out)
    except ModelError as error:
        print(f"bundle: {error}", file=sys.stderr)
        return 1
    print(f"{path}  {path.stat().st_size / 1e6:.0f} MB")
    print(f"on the device: tar -xf {path.name} provisioning && sudo provisioning/install.sh --bundle {path.name}")
    return 0


def build(work: Path, arch: str, python: str, model: Path, out: Path) -> Path:
    """Write the bundle to the folder `out` and return its path."""
    wheels = work / "wheels"
    wheels.mkdir()
    tools = locked_installer(work)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT), tools=tools)
    own = next(wheels.glob("edge_detection_appliance-*.whl"))
    version = own.name.split("-")[1]
    tags = [f"--platform=manylinux{tag}_{MACHINES[arch]}" for tag in TAGS]
    constraints = work / "constraints.txt"
    constraints.write_text("\n".join(constraints_for(python)) + "\n")
    pip("download", "--dest", str(wheels), "--only-binary=:all:", f"--python-version={python}", "--implementation=cp",
        *tags, "--constraint", str(constraints), f"{own}[{extras_for(arch, python)}]", "pip", tools=tools)  # fmt: skip
    constraints.unlink()
    shutil.rmtree(tools)
    if wrong := locked.unknown(wheels, locked.read(LOCK)[1], {"edge-detection-appliance"}):
        raise ModelError(f"not the files of {LOCK.name}: {', '.join(wrong)}", "model_corrupt")
    journal(wheels, arch, python)
    write_requirements(wheels, work)
    put_model(model, work / "models", onnx=arch == "arm64")
    put_int8(model, work / "models")
    for part in ("systemd", "provisioning"):
        shutil.copytree(ROOT / part, work / part, ignore=shutil.ignore_patterns("__pycache__", *NOT_ON_DEVICES))
    (work / "BUNDLE").write_text(f"version={version}\narchitecture={MACHINES[arch]}\npython={python}\n")
    content = sorted(path for path in work.rglob("*") if path.is_file())
    sums = (f"{files.sha256(path)}  {path.relative_to(work)}\n" for path in content)
    (work / "SHA256SUMS").write_text("".join(sums))
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"appliance-{version}-{arch}-py{python}.tar"
    with tarfile.open(path, "w") as archive:  # uncompressed: wheels are compressed already
        for member in sorted(work.iterdir()):
            archive.add(member, member.name, filter=_plain)
    return path


def locked_installer(work: Path) -> Path:
    """A folder with the lock file's pip and setuptools, which this machine's own pip fetches by their hashes."""
    requirements, tools = work / "installer.txt", work / "installer"
    requirements.write_text("\n".join(locked.select(LOCK, ["pip", "setuptools"])) + "\n")
    pip(
        "install",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "--target",
        str(tools),
        "-r",
        str(requirements),
    )
    requirements.unlink()
    return tools


def constraints_for(python: str) -> list[str]:
    """The lock file's versions for another Python: pip evaluates markers for the one that runs it."""
    target = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "sys_platform": "linux",
    }
    chosen = []
    for line in locked.read(LOCK)[0]:
        requirement, _, marker = line.partition(";")
        if not marker or Marker(marker.strip()).evaluate(target):
            chosen.append(requirement.strip())
    return chosen


def extras_for(arch: str, python: str) -> str:
    """The optional parts of the package that the target device gets. MNN (17 MB) may be the faster engine on ARM.

    `site` (1 MB) and `kserve` (16 MB) are in each bundle: what people install by hand is gone after an update.
    """
    return "mdns,site,kserve" + ",mnn" * (arch == "arm64") + ",tensorrt" * for_jetson(arch, python)


def for_jetson(arch: str, python: str) -> bool:
    """Whether the target device may be a Jetson."""
    return arch == "arm64" and python in JETPACKS


def write_requirements(wheels: Path, into: Path) -> None:
    """Write `requirements.txt` with each wheel's hash, and `requirements-tensorrt.txt` for devices with TensorRT."""
    lines: dict[str, list[str]] = {"requirements.txt": []}
    for path in sorted(wheels.glob("*.whl")):
        name, number = path.name.split("-")[:2]
        file = "requirements-tensorrt.txt" if name.startswith("cuda_") else "requirements.txt"
        lines.setdefault(file, []).append(f"{name}=={number} --hash=sha256:{files.sha256(path)}\n")
    for file, requirements in lines.items():
        (into / file).write_text("".join(requirements))


def put_model(model: Path, into: Path, *, onnx: bool) -> None:
    """Copy the model; with `onnx` also add the ONNX file that TensorRT and MNN read, if it is available.

    Raises ModelError.
    """
    source = bundles.read(model).source
    if onnx and not model.joinpath("model.onnx").exists():
        # Download it from the local model's source, so that both are the same network.
        known = KNOWN.get(model.name)
        if known and (sources := [one for one in known.sources if known.build is None and one.title == source]):
            fetch(into, print, model=known, keep_onnx=True, sources=sources)
            return
        print(f"bundle: {model.name} has no model.onnx; it will run on OpenVINO only", file=sys.stderr)
    shutil.copytree(model, into / model.name)


def put_int8(model: Path, into: Path) -> None:
    """Copy the INT8 version of the model, 3 MB, if there is one: making it on the device takes minutes and 530 MB."""
    version = model.with_name(f"{model.name}-int8")
    if version.is_dir() and not (into / version.name).exists():
        quantized = bundles.read(version).quantized
        if quantized is not None and quantized.made_from == model.name:
            shutil.copytree(version, into / version.name)


def journal(wheels: Path, arch: str, python: str) -> None:
    """Add a wheel of systemd-python, or print why that is not possible."""
    why = "mmdebstrap is not installed" if shutil.which("mmdebstrap") is None else ""
    if MACHINES[arch] == platform.machine() and python == HERE:
        try:
            pip("wheel", "--no-deps", "--wheel-dir", str(wheels), "systemd-python")
            return
        except subprocess.CalledProcessError:
            why = why or "building it needs gcc, pkg-config, libsystemd-dev and python3-dev"
    if python in SUITES and not why:
        _from_debian(wheels, arch, python)
        return
    why = why or f"Debian has no package of it for Python {python}"
    print(f"bundle: without systemd-python ({why}); journal entries will have no fields", file=sys.stderr)


def _from_debian(wheels: Path, arch: str, python: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        subprocess.run(
            ["mmdebstrap", "--quiet", f"--arch={arch}", "--variant=extract", "--include=python3-systemd",
             SUITES[python], str(root)],
            check=True,
        )  # fmt: skip
        package = root / "usr/lib/python3/dist-packages/systemd"
        info = next(package.parent.glob("systemd_python-*.egg-info"))
        described = info.read_text() if info.is_file() else (info / "PKG-INFO").read_text()
        number = next(line.split()[1] for line in described.splitlines() if line.startswith("Version:"))
        tag = f"cp{python.replace('.', '')}-cp{python.replace('.', '')}-linux_{MACHINES[arch]}"
        described_in = f"systemd_python-{number}.dist-info"
        files = {f"systemd/{path.name}": path.read_bytes() for path in sorted(package.iterdir()) if path.is_file()}
        files[f"{described_in}/METADATA"] = described.encode()
        wheel = f"Wheel-Version: 1.0\nGenerator: appliance\nRoot-Is-Purelib: false\nTag: {tag}\n"
        files[f"{described_in}/WHEEL"] = wheel.encode()
        record = [f"{name},sha256={_urlsafe(data)},{len(data)}" for name, data in files.items()]
        files[f"{described_in}/RECORD"] = "\n".join([*record, f"{described_in}/RECORD,,", ""]).encode()
        with zipfile.ZipFile(wheels / f"systemd_python-{number}-{tag}.whl", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)


def pip(*arguments: str, tools: Path | None = None) -> None:
    """Run pip: this machine's own, or the one in `tools`."""
    environment = os.environ | ({"PYTHONPATH": str(tools)} if tools else {})
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, env=environment)


def _urlsafe(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Nothing that differs between two builds of the same tree; SOURCE_DATE_EPOCH dates all files."""
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mtime = int(os.environ.get("SOURCE_DATE_EPOCH") or member.mtime)
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


if __name__ == "__main__":
    sys.exit(main())
