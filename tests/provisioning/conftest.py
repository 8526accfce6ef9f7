"""Fixtures of the provisioning tests, their skip reasons, and the table of results."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.boot.conftest import Measured, measured, no_containers, write_table
from tests.conftest import ROOT
from tests.provisioning.blank import BlankDevice, booted
from tests.provisioning.offers import Offers

__all__ = ["Measured", "measured"]

PREPARED = ("python3", "python3-systemd", "libgomp1", "ca-certificates")
"""Packages that images for boards contain, and that the installer adds if they are missing."""

Bundle = Callable[[str, str], Path]


@pytest.fixture(scope="session")
def can_provision(models_dir: Path) -> None:
    """Skip, with the reason, where containers are not available."""
    missing = [] if shutil.which("slirp4netns") else ["slirp4netns"]
    why_not = no_containers() or (f"{missing[0]} missing: apt install slirp4netns" if missing else None)
    if why_not:
        pytest.skip(f"provisioning tests cannot run here: {why_not}")


@pytest.fixture(scope="session")
def bundle(can_provision: None, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Creates a bundle of this tree for an architecture and a Python version, each once."""
    folder = tmp_path_factory.mktemp("bundles")

    def make(arch: str, python: str) -> Path:
        if not (found := list(folder.glob(f"*-{arch}-py{python}.tar"))):
            chosen = ("--out", str(folder), "--arch", arch, "--python", python)
            subprocess.run([sys.executable, str(ROOT / "provisioning/bundle.py"), *chosen], check=True)
            found = list(folder.glob(f"*-{arch}-py{python}.tar"))
        return found[0]

    return make


@pytest.fixture(scope="module")
def offers(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Offers:
    """An operator who offers variants of the bundle."""
    return Offers(tmp_path_factory.mktemp("updates"), bundle("amd64", "3.11"))


@pytest.fixture(scope="module")
def prepared(bundle: Bundle) -> Iterator[BlankDevice]:
    """A device without a network, with its bundle at /media/bundle.tar; shared by the tests of a module."""
    with offline(bundle) as device:
        yield device


def offline(bundle: Bundle, *options: str) -> AbstractContextManager[BlankDevice]:
    """A device without a network until the block ends. `options`: additional options for systemd-nspawn."""
    return booted("bookworm", PREPARED, [f"--bind-ro={bundle('amd64', '3.11')}:/media/bundle.tar", *options])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    write_table(terminalreporter, config, "provisioning")
