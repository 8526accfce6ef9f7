"""The service under a service manager: start, watchdog, reload and stop, also with invalid settings or models."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import socketio

from appliance.commands.doctor.examine import examine
from appliance.control.client import Control
from appliance.device import listening_address
from appliance.settings.schema import Settings
from appliance.settings.schema.server import ServerSettings
from tests.models.bundles import make_bundles
from tests.service_manager import LONG_S, Manager, Service


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path)
    yield manager
    manager.close()


@pytest.fixture
def models(tmp_path: Path) -> str:
    """A setting for a folder with one small model, which finds colours."""
    return f"model.dir={make_bundles(tmp_path / 'models', 'yolo11n')}"


def fake(manager: Manager, *arguments: str, **environ: str) -> Service:
    return manager.start(*arguments, module="tests.fake_service", **environ)


def push(manager: Manager, picture: bytes) -> Future[int]:
    """Post a picture and wait until it is in flight; return the status of the response, which comes later."""
    request = urllib.request.Request(f"{manager.url}/v1/vision/detection", picture, {"Content-Type": "image/jpeg"})

    response = Future[int]()

    def post() -> None:
        try:
            with urllib.request.urlopen(request, timeout=LONG_S) as answer:
                response.set_result(answer.status)
        except OSError as error:  # the service has ended
            response.set_exception(error)

    threading.Thread(target=post, daemon=True).start()
    until(lambda: manager.get("/health")[1]["engine"]["in_flight"] > 0)
    return response


def until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + LONG_S
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.01)


async def connected(url: str, **auth: str) -> socketio.AsyncSimpleClient:
    client = socketio.AsyncSimpleClient(reconnection=False)
    await client.connect(url, transports=["websocket"], auth=auth, wait_timeout=30)
    return client


async def event(client: socketio.AsyncSimpleClient, name: str) -> Any:
    """Wait for the next event with this name; return its payload."""
    while True:
        got, payload = await client.receive(timeout=LONG_S)
        if got == name:
            return payload


def findings(manager: Manager) -> dict[str, str]:
    return {finding["code"]: finding["what"] for finding in manager.get("/health")[1]["findings"]}


def test_ready_is_sent_after_the_self_test_and_more_time_is_requested_until_then(manager: Manager) -> None:
    service = fake(manager, "hold")
    first = manager.next()
    assert first["EXTEND_TIMEOUT_USEC"] == "30000000"
    assert first["STATUS"] == "starting: loading the model"
    waiting = manager.until(STATUS="starting; ")
    assert "READY" not in waiting
    assert manager.get("/health/ready")[0] == 503
    service.signal(signal.SIGUSR2)
    ready = manager.until(READY="1")
    assert ready["STATUS"].startswith("ok: 0 cameras, 0.0 fps, ") or ready["STATUS"].startswith("degraded (")
    assert manager.get("/health/ready")[0] == 200
    service.signal(signal.SIGTERM)
    assert manager.until(STOPPING="1")
    status, out, _ = service.ended()
    assert (status, out) == (0, "ready\n")


def test_the_port_that_systemd_passes_is_the_one_that_everything_names(manager: Manager, tmp_path: Path) -> None:
    """A person has edited appliance.socket; updates, the boot check and the doctor must find the service."""
    runtime = tmp_path / "run/appliance"
    runtime.mkdir(parents=True)
    config = tmp_path / "appliance.toml"
    config.write_text(f'[server]\nport = 9\nhost = "192.0.2.1"\n[model]\ndir = "{tmp_path}"\n')
    service = manager.start("--config", str(config), RUNTIME_DIRECTORY=str(runtime))
    manager.until(READY="1")
    found = listening_address.read(tmp_path)
    assert str(found) == manager.address
    assert listening_address.local_url(tmp_path) == manager.url
    assert (runtime / "address").stat().st_mode & 0o777 == 0o644
    doctor = {check.name: check for check in examine(Settings(server=ServerSettings(port=9)), tmp_path)}
    assert doctor["port"].text == f"server.port = 9 has no effect: systemd's appliance.socket listens on {found}"
    assert "systemctl edit appliance.socket" in doctor["port"].fix
    service.signal(signal.SIGTERM)
    status, out, err = service.ended()
    assert status == 0
    assert f"server.port = 9 has no effect: systemd's appliance.socket listens on {found}." in err
    assert f"{manager.url}/" in out
    assert not any(runtime.glob("address"))


def test_a_hung_inference_stops_the_pings_while_everything_else_continues(manager: Manager, scene_jpeg: bytes) -> None:
    service = fake(manager, "flow.deadline_s=0.2", WATCHDOG_USEC="200000")
    manager.until(READY="1")
    manager.until(WATCHDOG="1")
    service.signal(signal.SIGUSR1)
    push(manager, scene_jpeg)
    manager.until(STATUS="stuck")
    assert [manager.next().get("WATCHDOG") for _ in range(5)] == [None] * 5
    assert manager.get("/health/live")[0] == 200
    service.signal(signal.SIGUSR2)  # the inference ends before the watchdog reacts
    manager.until(WATCHDOG="1")
    service.signal(signal.SIGABRT)  # as systemd's watchdog does
    _, _, err = service.ended()
    assert "waiting for the watchdog to restart the service" in err


def test_after_sigterm_accepted_frames_are_still_answered(manager: Manager, scene_jpeg: bytes) -> None:
    service = fake(manager, "server.drain_s=30")
    manager.until(READY="1")
    service.signal(signal.SIGUSR1)
    answered = push(manager, scene_jpeg)
    service.signal(signal.SIGTERM)
    manager.until(STOPPING="1")
    service.signal(signal.SIGUSR2)
    assert service.ended()[0] == 0
    assert answered.result(LONG_S) == 200


def test_a_second_ctrl_c_ends_the_service_at_once(manager: Manager, scene_jpeg: bytes) -> None:
    service = fake(manager, "server.drain_s=600")
    manager.until(READY="1")
    service.signal(signal.SIGUSR1)
    push(manager, scene_jpeg)
    service.signal(signal.SIGINT)
    manager.until(STOPPING="1")
    service.signal(signal.SIGINT)
    assert service.ended()[0] == 130


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_a_restart_refuses_no_connection(family: socket.AddressFamily, tmp_path: Path, scene_jpeg: bytes) -> None:
    try:
        manager = Manager(tmp_path, family)
    except OSError as error:
        pytest.skip(f"this machine has no such address: {error}")
    try:
        early = waiting(manager)  # before any process exists
        first = fake(manager)
        assert await asyncio.to_thread(answer_to, early) == 200
        client = await connected(manager.url)
        await client.emit("process_frame", scene_jpeg)
        assert (await event(client, "detection_results"))["detections"]
        first.signal(signal.SIGTERM)
        await asyncio.to_thread(first.ended)
        await client.disconnect()
        between = waiting(manager)
        fake(manager)
        assert await asyncio.to_thread(answer_to, between) == 200
        client = await connected(manager.url)
        await client.emit("process_frame", scene_jpeg)
        assert (await event(client, "detection_results"))["detections"]
        await client.disconnect()
    finally:
        manager.close()


def test_a_connection_during_the_stop_waits_for_the_next_process(manager: Manager, scene_jpeg: bytes) -> None:
    first = fake(manager, "server.drain_s=600")
    manager.until(READY="1")
    first.signal(signal.SIGUSR1)
    push(manager, scene_jpeg)
    assert manager.listened_to_by(first) == 2
    first.signal(signal.SIGTERM)
    manager.until(STOPPING="1")
    until(lambda: manager.listened_to_by(first) == 1)  # the inherited descriptor
    late = waiting(manager)
    first.signal(signal.SIGUSR2)
    assert first.ended()[0] == 0
    fake(manager)
    assert answer_to(late) == 200


def waiting(manager: Manager) -> http.client.HTTPConnection:
    """Connect and send a request, whether a service is running or not."""
    connection = http.client.HTTPConnection(manager.url.removeprefix("http://"), timeout=LONG_S)
    connection.request("GET", "/health/live")
    return connection


def answer_to(connection: http.client.HTTPConnection) -> int:
    with contextlib.closing(connection), connection.getresponse() as answer:
        return answer.status


async def test_invalid_settings_cause_safe_mode_until_the_file_is_fixed(
    manager: Manager, models: str, tmp_path: Path, scene_jpeg: bytes
) -> None:
    path = tmp_path / "appliance.toml"
    path.write_text('[server]\nviewer_token = "s3cret"\n[flow]\nmax_sied = 640\n')
    service = manager.start("--config", str(path), "--set", models)
    message = await asyncio.to_thread(manager.until, READY="1")
    what = f"{path}, line 4: unknown key 'flow.max_sied'; did you mean 'max_side'?"
    assert message["STATUS"] == f"safe mode: invalid settings: {what}"
    status, report = await asyncio.to_thread(manager.get, "/health")
    assert (status, report["status"]) == (503, "critical")
    (finding,) = [finding for finding in report["findings"] if finding["severity"] == "critical"]
    assert finding["code"] == "safe_mode"
    assert what in finding["what"]
    assert (await asyncio.to_thread(manager.get, "/health/ready"))[0] == 503
    offered = (await asyncio.to_thread(manager.get, "/actions"))[1]
    assert offered["models"]
    assert not {"activate", "roll_back"} & set(offered["actions"]), "no model can be loaded with invalid settings"
    client = await connected(manager.url)
    await client.emit("process_frame", scene_jpeg)
    refused = await event(client, "detection_error")
    assert refused["code"] == "safe_mode"
    assert what in refused["error"]
    await client.disconnect()

    path.write_text("[server]\nviewer_token = 5\n")  # another error
    message = await asyncio.to_thread(manager.until, READY="1")
    assert "line 2: server.viewer_token = (secret)" in message["STATUS"]
    path.write_text('[server]\nviewer_token = "s3cret"\n[flow]\nmax_side = 640\n')
    assert "MONOTONIC_USEC" in await asyncio.to_thread(manager.until, RELOADING="1")
    message = await asyncio.to_thread(manager.until, READY="1")
    assert not message["STATUS"].startswith("safe mode")
    assert (await asyncio.to_thread(manager.get, "/health/ready"))[0] == 200
    service.signal(signal.SIGTERM)
    status, _, err = await asyncio.to_thread(service.ended)
    assert status == 0
    assert "s3cret" not in err


def test_a_broken_model_causes_safe_mode_and_is_loaded_again_on_reload(manager: Manager, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    service = manager.start("--set", f"model.dir={folder}")
    assert manager.until(READY="1")["STATUS"].startswith("safe mode: ")
    assert manager.get("/health/ready")[0] == 503
    assert "model_missing" in findings(manager)
    make_bundles(folder, "yolo11n")
    service.signal(signal.SIGHUP)
    manager.until(RELOADING="1")
    assert not manager.until(READY="1")["STATUS"].startswith("safe mode")
    assert manager.get("/health/ready")[0] == 200


def test_after_the_activation_of_its_first_model_a_service_reloads_normally(manager: Manager, tmp_path: Path) -> None:
    folder, path = tmp_path / "models", tmp_path / "appliance.toml"
    folder.mkdir()
    path.write_text("[server]\nmax_connections = 5\n")
    there = ["--config", str(path), "--set", f"model.dir={folder}"]
    service = manager.start(*there, APPLIANCE_CONTROL=str(tmp_path / "control.sock"))
    manager.until(READY="1")
    make_bundles(folder, "yolo11n")
    Control([tmp_path / "control.sock"]).activate("yolo11n", None, False)
    reload_to(manager, service, path, "[server]\nmax_connections = 6\n")
    service.signal(signal.SIGTERM)
    _, _, err = service.ended()
    assert "reloaded; changed: server.max_connections\n" in err
    assert "starting again with the present settings" not in err


def test_an_invalid_flag_ends_the_service_even_under_systemd(manager: Manager) -> None:
    status, _, err = manager.start("--set", "server.prot=80").ended()
    assert status == 2
    assert "did you mean 'port'?" in err


@pytest.mark.parametrize("governor", ["true", "false"])
async def test_a_reload_changes_tokens_limits_and_the_log_level_and_disconnects_no_camera(
    manager: Manager, models: str, tmp_path: Path, governor: str
) -> None:
    path = tmp_path / "appliance.toml"
    path.write_text('profile = "realtime"\n[cameras.gate]\ntoken = "old"\n')
    sets = (models, f"governor.enabled={governor}", "access.name_taken=share")
    service = manager.start("--config", str(path), *(word for one in sets for word in ("--set", one)))
    await asyncio.to_thread(manager.until, READY="1")
    client = await connected(manager.url, name="gate", token="old")
    greeting = await event(client, "connected")
    assert greeting["limits"]["max_side"] == 640

    path.write_text(
        'profile = "realtime"\n[log]\nlevel = "error"\n[flow]\nmax_side = 320\nmin_interval_s = 2.5\nburst = 7\n'
        '[cameras.gate]\ntoken = "new"\n'
    )
    service.signal(signal.SIGHUP)
    assert "MONOTONIC_USEC" in await asyncio.to_thread(manager.until, RELOADING="1")
    await asyncio.to_thread(manager.until, READY="1")
    limits = await event(client, "limits")
    assert (limits["max_side"], limits["min_interval"]) == (320, 2.5)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await connected(manager.url, name="gate", token="old")
    second = await connected(manager.url, name="gate", token="new")
    assert client.connected
    await client.disconnect()
    await second.disconnect()
    service.signal(signal.SIGTERM)
    _, _, err = await asyncio.to_thread(service.ended)
    assert "wrong token" not in err  # a warning, which is no longer logged
    assert "reloaded" not in err


def test_an_invalid_file_on_reload_changes_nothing_and_is_a_finding_until_it_is_fixed(
    manager: Manager, models: str, tmp_path: Path
) -> None:
    path = tmp_path / "appliance.toml"
    path.write_text("[server]\nmax_connections = 5\n")
    service = manager.start("--config", str(path), "--set", models)
    manager.until(READY="1")
    reload_to(manager, service, path, "[server]\nmax_conections = 6\n")
    assert f"{path}, line 2: unknown key 'server.max_conections'" in findings(manager)["config_not_reloaded"]
    assert manager.get("/health/ready")[0] == 200
    reload_to(manager, service, path, "[server]\nmax_connections = 7\nport = 1\n[engine]\nthreads = 1\n")
    assert "config_not_reloaded" not in findings(manager)
    service.signal(signal.SIGTERM)
    _, _, err = service.ended()
    assert "reload failed; the previous settings stay in force" in err
    assert "reloaded; changed: server.max_connections\n" in err
    assert "restart the service to apply: engine.threads\n" in err
    assert f"server.port = 1 has no effect: systemd's appliance.socket listens on {manager.address}." in err


def reload_to(manager: Manager, service: Service, path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    service.signal(signal.SIGHUP)
    manager.until(RELOADING="1")
    manager.until(READY="1")


def test_secrets_are_read_from_systemd_credentials(manager: Manager, models: str, tmp_path: Path) -> None:
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "server.api_key").write_text("k3y\n")
    manager.start("--set", models, CREDENTIALS_DIRECTORY=str(folder))
    manager.until(READY="1")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{manager.url}/v1/vision/detection?api_key=wrong", b"x", timeout=LONG_S)
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(f"{manager.url}/v1/vision/detection?api_key=k3y", b"x", timeout=LONG_S)


def test_frames_cause_no_disk_writes(manager: Manager, models: str, scene_jpeg: bytes, tmp_path: Path) -> None:
    """Flash cards wear out. 300 pictures of 60 kB are 18 MB; a few other records are allowed."""
    counted = disk_writes(os.getpid())
    (tmp_path / "probe").write_bytes(bytes(100_000))
    if disk_writes(os.getpid()) < counted + 100_000:
        pytest.skip("this machine does not count the disk writes of a process (write_bytes in /proc/PID/io)")
    # Without the history, which is saved once a minute.
    flags = ("--set", "cache.enabled=false", "--set", "state.history=false")
    service = manager.start("--profile", "realtime", "--set", models, *flags)
    manager.until(READY="1")
    request = urllib.request.Request(f"{manager.url}/v1/vision/detection", scene_jpeg, {"Content-Type": "image/jpeg"})

    def push(count: int) -> None:
        for _ in range(count):
            with urllib.request.urlopen(request, timeout=LONG_S) as answer:
                assert answer.status == 200

    push(100)  # a single camera causes the compilation of a second network, whose files are recorded once
    before = disk_writes(service.pid)
    push(300)
    assert disk_writes(service.pid) - before <= 16384


def disk_writes(pid: int) -> int:
    """Bytes that a process has written to disks so far; 0 if the kernel does not count them."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return int(dict(line.split(": ") for line in lines).get("write_bytes", 0))


def test_an_operator_restarts_the_service_and_cameras_find_it_again(manager: Manager, models: str) -> None:
    service = manager.start("--set", models)
    manager.until(READY="1")
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{manager.url}/actions/restart", b"{}", headers)
    with urllib.request.urlopen(request, timeout=LONG_S) as response:
        assert response.read() == b'{"restarts":true}\n'
    manager.until(RELOADING="1")
    manager.until(READY="1")
    assert manager.get("/health/ready")[0] == 200
    entries = manager.get("/actions/audit")[1]["entries"]
    assert [one["action"] for one in entries] == ["service_restart"], "who restarted it is still known"
    with urllib.request.urlopen(f"{manager.url}/actions/log", timeout=LONG_S) as response:
        assert b"action=service_restart" in response.read()
    service.signal(signal.SIGTERM)
    status, out, err = service.ended()
    assert status == 0
    assert "ready after" in out
    assert "Ctrl-C" not in out, "nobody sits at a terminal"
    assert "action=service_restart who=loopback (operator)" in err


def test_a_restart_with_invalid_settings_is_refused_while_detection_runs(
    manager: Manager, models: str, tmp_path: Path
) -> None:
    path = tmp_path / "appliance.toml"
    path.write_text("[flow]\nmax_side = 640\n")
    service = manager.start("--config", str(path), "--set", models)
    manager.until(READY="1")
    path.write_text("[flow]\nmax_sied = 640\n")
    request = urllib.request.Request(f"{manager.url}/actions/restart", b"{}", {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=LONG_S)
    with refused.value as answer:
        found = json.loads(answer.read())
    assert (refused.value.code, found["code"]) == (409, "config_invalid")
    assert "unknown key 'flow.max_sied'" in found["error"]
    assert manager.get("/health/ready")[0] == 200
    service.signal(signal.SIGTERM)
    assert service.ended()[0] == 0
