"""Bundles of other releases, made of one bundle: another version, and code that is added to its modules."""

from __future__ import annotations

import io
import re
import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from appliance import files
from tests.bundles import pack

_OWN = "edge_detection_appliance"


def variant(bundle: Path, version: str, more: Mapping[str, str], into: Path) -> Path:
    """A bundle with this version. `more`: code that is appended to modules, by their path in the wheel."""
    content = into / f"content-{version}"
    with tarfile.open(bundle) as archive:
        archive.extractall(content)
    old = next((content / "wheels").glob(f"{_OWN}-*.whl"))
    former = old.name.split("-")[1]
    new = old.with_name(old.name.replace(f"-{former}-", f"-{version}-"))
    new.write_bytes(_changed(old, former, version, more))
    old.unlink()
    digest = files.sha256(new)
    requirements = content / "requirements.txt"
    line = f"{_OWN}=={version} --hash=sha256:{digest}"
    requirements.write_text(re.sub(rf"^{_OWN}==.*$", line, requirements.read_text(), flags=re.MULTILINE))
    about = content / "BUNDLE"
    about.write_text(re.sub(r"^version=.*$", f"version={version}", about.read_text(), flags=re.MULTILINE))
    made = pack(content, into / f"appliance-{version}.tar")
    shutil.rmtree(content)
    return made


def _changed(wheel: Path, former: str, version: str, more: Mapping[str, str]) -> bytes:
    made = io.BytesIO()
    missing = set(more)
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            text = old.read(info)
            name = info.filename.replace(f"{_OWN}-{former}.dist-info", f"{_OWN}-{version}.dist-info")
            if name.endswith("/METADATA"):
                text = text.replace(f"\nVersion: {former}\n".encode(), f"\nVersion: {version}\n".encode())
            if name.endswith("/RECORD"):
                text = text.replace(f"{_OWN}-{former}.dist-info".encode(), f"{_OWN}-{version}.dist-info".encode())
            if name == "appliance/__init__.py":
                text = text.replace(f'"{former}"'.encode(), f'"{version}"'.encode())
            if name in more:
                missing.discard(name)
                text += more[name].encode()
            new.writestr(name, text)
    assert not missing, f"not in the wheel: {missing}"
    return made.getvalue()
