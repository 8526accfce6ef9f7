"""Notifications to the service manager, its watchdog, and the sockets that it passes."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from appliance.device import systemd
from appliance.device.systemd import NoNotifier, SystemdNotifier
from appliance.ports import Notifier


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The notification socket on which the service manager listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def through_library(path: str) -> Notifier:
    pytest.importorskip("systemd.daemon", reason="systemd-python is not installed (extra 'systemd')")
    return systemd.notifier()


def by_hand(path: str) -> Notifier:
    return SystemdNotifier(path, partial(systemd.send_datagram, path))


def test_without_a_service_manager_notifications_do_nothing() -> None:
    notifier = systemd.notifier({})
    assert isinstance(notifier, NoNotifier)
    notifier.notify(systemd.READY, systemd.status("fine"))


@pytest.mark.parametrize("way", [through_library, by_hand])
def test_systemd_receives_every_notification(manager: socket.socket, way: Callable[[str], Notifier]) -> None:
    notifier = way(manager.getsockname())
    for words, received in (
        ((systemd.READY, systemd.status("2 cameras, 61 °C")), "READY=1\nSTATUS=2 cameras, 61 °C"),
        ((systemd.ALIVE,), "WATCHDOG=1"),
        ((systemd.reloading(12.5),), "RELOADING=1\nMONOTONIC_USEC=12500000"),
        ((systemd.more_time(30),), "EXTEND_TIMEOUT_USEC=30000000"),
        ((systemd.STOPPING,), "STOPPING=1"),
    ):
        notifier.notify(*words)
        assert manager.recv(4096).decode().strip() == received


@pytest.mark.parametrize("way", [through_library, by_hand])
def test_a_manager_that_has_frozen_does_not_stop_the_service(
    manager: socket.socket, way: Callable[[str], Notifier], caplog: pytest.LogCaptureFixture
) -> None:
    """Its socket takes some messages (net.unix.max_dgram_qlen), and the rest wait until it reads again, in order."""
    notifier = way(manager.getsockname())
    manager.setblocking(False)
    count = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) + 20
    for number in range(count):
        notifier.notify(systemd.status(str(number)))
    assert "systemd does not read notifications" in caplog.text
    received: list[str] = []
    while len(received) < count:
        try:
            received.append(manager.recv(4096).decode().strip())
        except BlockingIOError:  # all that it took is read
            notifier.notify(systemd.ALIVE)
    assert received == [f"STATUS={number}" for number in range(count)]


def test_an_abstract_socket_is_supported() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0appliance-test-{os.getpid()}")
        listening.settimeout(5)
        systemd.send_datagram(f"@appliance-test-{os.getpid()}", systemd.READY)
        assert listening.recv(100) == b"READY=1"


def test_a_status_is_always_one_line() -> None:
    """A second line would be a separate assignment."""
    assert systemd.status("safe mode: line 3\nREADY=1") == "STATUS=safe mode: line 3 READY=1"


def test_a_missing_service_manager_is_logged_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    by_hand(str(tmp_path / "nobody")).notify(systemd.READY)
    assert "cannot notify systemd" in caplog.text


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "10000000"}, 10.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "77"}, 10.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "78"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
    ids=str,
)
def test_the_watchdog_interval_comes_from_the_environment(environ: dict[str, str], seconds: float | None) -> None:
    assert systemd.watchdog_s(environ, pid=77) == seconds


def test_sockets_for_another_process_are_ignored() -> None:
    environ = {"LISTEN_PID": "78", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "appliance.socket", "HOME": "/"}
    assert systemd.passed_sockets(environ, pid=77) == []
    assert environ == {"HOME": "/"}
    assert systemd.passed_sockets({}) == []
    assert systemd.passed_sockets({"LISTEN_PID": "77", "LISTEN_FDS": "some"}, pid=77) == []


_TAKE_SOCKET = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3, inheritable=True); os.environ |= {'LISTEN_PID': str(os.getpid()), "
    "'LISTEN_FDS': '1'}; from appliance.device import systemd; passed, = systemd.passed_sockets();"
    "print(passed.getsockname()[1], passed.get_inheritable())"
)


def test_a_passed_descriptor_that_is_not_a_socket_is_reported(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        command = [sys.executable, "-c", _TAKE_SOCKET, str(file.fileno())]
        done = subprocess.run(command, pass_fds=[file.fileno()], capture_output=True, text=True, timeout=60)
    assert "systemd passed an unusable socket" in done.stderr


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_passed_socket_is_used_and_not_inherited_by_children(family: socket.AddressFamily, host: str) -> None:
    try:
        listening = socket.create_server((host, 0), family=family)
    except OSError as error:
        pytest.skip(f"{host} is not available here: {error}")
    with listening:
        command = [sys.executable, "-c", _TAKE_SOCKET, str(listening.fileno())]
        done = subprocess.run(command, pass_fds=[listening.fileno()], capture_output=True, text=True, timeout=60)
        assert done.stdout == f"{listening.getsockname()[1]} False\n", done.stderr


def test_a_passed_socket_that_is_not_a_tcp_port_is_reported(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        command = [sys.executable, "-c", _TAKE_SOCKET, str(listening.fileno())]
        done = subprocess.run(command, pass_fds=[listening.fileno()], capture_output=True, text=True, timeout=60)
    assert "ListenStream=" in done.stderr


def test_nothing_is_logged_while_systemd_listens(manager: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        systemd.notifier().notify(systemd.READY)
    assert not caplog.records
