"""What the service manager is told, if there is one."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.device import systemd
from appliance.device.systemd import NoNotifier


def has_systemd_python() -> bool:
    try:
        from systemd import daemon  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The end of sd_notify(3)'s socket that the service manager listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_without_a_service_manager_nothing_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notifier = systemd.notifier()
    assert isinstance(notifier, NoNotifier)
    notifier.ready("1 camera")
    notifier.status("fine")
    notifier.alive()
    notifier.stopping()


def test_systemd_hears_every_word(manager: socket.socket) -> None:
    if not has_systemd_python():
        pytest.skip("systemd-python is not installed (extra 'systemd')")
    notifier = systemd.notifier()
    said: list[str] = []
    steps: list[Callable[[], None]] = [
        lambda: notifier.ready("2 cameras, 61 °C"),
        lambda: notifier.status("fine"),
        notifier.alive,
        notifier.stopping,
    ]
    for say in steps:
        say()
        said.append(manager.recv(4096).decode().strip())
    assert said == ["READY=1\nSTATUS=2 cameras, 61 °C", "STATUS=fine", "WATCHDOG=1", "STOPPING=1"]


def test_a_missing_library_is_said_and_does_not_stop_the_service(
    manager: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    if has_systemd_python():
        pytest.skip("systemd-python is installed")
    with caplog.at_level(logging.WARNING):
        notifier = systemd.notifier()
    assert isinstance(notifier, NoNotifier)
    assert "systemd-python is missing" in caplog.text
