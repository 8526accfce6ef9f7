"""Fixtures of the boot tests, the reasons for skipping them, and the table of results."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.boot import container, rootfs
from tests.boot.container import Container

Measured = Callable[[str], None]

_TABLE = pytest.StashKey[dict[str, str]]()


@pytest.fixture(scope="session")
def can_boot(models_dir: Path) -> None:
    """Skip, with the reason, if this machine cannot boot a container."""
    why_not = no_containers() or rootfs.why_not()
    if why_not:
        pytest.skip(f"boot tests cannot run here: {why_not}")


@pytest.fixture(scope="session")
def root(can_boot: None) -> Path:
    """The root file system with the appliance, and with faults that a test can switch on."""
    return add_faults(rootfs.build(rootfs.CACHE / "root"))


def add_faults(root: Path) -> Path:
    """Make the service in this root file system load faults.py when it starts."""
    packages = next((root / rootfs.RELEASE / "venv/lib").glob("python3*/site-packages"))
    shutil.copy(Path(__file__).with_name("faults.py"), packages / "faults_of_the_chip.py")
    (packages / "faults_of_the_chip.pth").write_text("import faults_of_the_chip\n")
    return root


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """Record what a test measured, for its line in the table."""

    def record(text: str) -> None:
        request.config.stash.setdefault(_TABLE, {})[request.node.nodeid] = text

    return record


@pytest.fixture(scope="module")
def device(root: Path) -> Iterator[Container]:
    """A booted device. The tests of a file share it, and restore what they change."""
    with container.boot(root, f"appliance-{os.getpid()}") as booted:
        booted.wait_until_active()
        yield booted


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    write_table(terminalreporter, config, "boot")


def write_table(terminalreporter: pytest.TerminalReporter, config: pytest.Config, folder: str) -> None:
    """Write the table of what the tests of a folder measured."""
    measured = config.stash.get(_TABLE, {})
    lines = [
        (report.nodeid.partition("::test_")[2].replace("_", " "), outcome, measured.get(report.nodeid, ""))
        for outcome in ("passed", "failed", "skipped")
        for report in terminalreporter.getreports(outcome)
        if f"tests/{folder}/" in report.nodeid and (report.when == "call" or outcome == "skipped")
    ]
    if not measured:
        return
    width = max(len(name) for name, *_ in lines)
    terminalreporter.section(f"{folder}: {platform.machine()}, kernel {platform.release()}")
    for name, outcome, text in lines:
        terminalreporter.write_line(f"{name:<{width}}  {outcome:<7}  {text}".rstrip())


def no_containers() -> str | None:
    """Why containers cannot run on this machine; None: they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "containers need root on Linux"
    missing = [
        name for name in ("systemd-nspawn", "mmdebstrap", "nsenter", "setpriv", "ip") if shutil.which(name) is None
    ]
    if missing:
        return f"{', '.join(missing)} missing: apt install systemd-container mmdebstrap util-linux iproute2"
    try:
        subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "true"], check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        return f"namespaces are not available: {error.stderr.decode().strip()}"
    return None
