"""Clients that poll, through a real HAProxy with the configuration as the command writes it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import socketio

from tests.conftest import ROOT, Running, Serve
from tests.fakes import CANARY_ROWS, FakeEngine
from tests.site.trial.lab import free_port, without_privileges
from tests.web.requests import picture

HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
pytestmark = pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed: apt install haproxy")


@asynccontextmanager
async def front_of(folder: Path, devices: list[Running], agents: list[int]) -> AsyncIterator[str]:
    """A front that has found all its devices up. Yields its URL."""
    port = free_port()
    listing = [f'[front]\ntls = "none"\nbind = "127.0.0.1:{port}"']
    for number, (device, agent) in enumerate(zip(devices, agents, strict=True), 1):
        listing.append(f'[[device]]\nname = "box{number}"\naddress = "127.0.0.1"\ntls = false')
        listing.append(f"port = {device.url.rsplit(':', 1)[1]}\nagent_port = {agent}")
    (folder / "site.toml").write_text("\n".join(listing))
    command = [sys.executable, str(ROOT / "provisioning/site/front.py"), str(folder / "site.toml")]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    # Both devices and the camera are this one process: it may pause for a second on a busy machine.
    patient = without_privileges(text).replace("timeout check 600ms", "timeout check 10s")
    (folder / "haproxy.cfg").write_text(patient)
    assert HAPROXY is not None
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen([HAPROXY, "-db", "-f", str(folder / "haproxy.cfg")], stdout=log, stderr=log)
    try:
        with anyio.fail_after(20):
            while True:
                with contextlib.suppress(OSError):
                    (await asyncio.open_connection("127.0.0.1", port))[1].close()
                    break
                await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("moved", ["", "&moved=1", "&moved=box1"])
async def test_all_requests_of_a_session_meet_the_device_that_took_it(
    serve: Serve, tmp_path: Path, moved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the URL names another device, which refuses the camera, or none."""
    agents = [free_port(), free_port()]
    flags = {
        "server__trusted_proxies": "127.0.0.1",
        "cache__enabled": "false",
        "access__auth": "off",
        "access__health": "full",  # the front's check
    }
    async with (
        serve(FakeEngine(CANARY_ROWS), wait_ready=True, site__agent_port=str(agents[0]), **flags) as one,
        serve(FakeEngine(CANARY_ROWS), wait_ready=True, site__agent_port=str(agents[1]), **flags) as two,
        front_of(tmp_path, [one, two], agents) as url,
    ):
        monkeypatch.setattr(one.started.parts.path.connections, "passes_on", lambda request: True)
        for number in range(8):  # the hash puts about half of them on the first device
            name = f"gate{number}"
            client: Any = socketio.AsyncClient(reconnection=False)
            answered = asyncio.Event()
            client.on("detection_results", lambda *_, done=answered: done.set())
            await client.connect(f"{url}?camera={name}{moved}", auth={"name": name}, transports=["polling"])
            try:
                for _ in range(3):
                    answered.clear()
                    await client.emit("process_frame", {"image": picture(1)})
                    await asyncio.wait_for(answered.wait(), 20)
            finally:
                await client.eio.disconnect(abort=True)  # without waiting for the last poll
        assert {name for _, name in one.started.parts.path.publisher.clients()} == set()


async def test_a_single_device_sets_no_cookie(serve: Serve) -> None:
    async with serve() as running:
        client: Any = socketio.AsyncClient(reconnection=False)
        await client.connect(running.url, transports=["polling"])
        assert not list(client.eio.http.cookie_jar)
        await client.eio.disconnect(abort=True)
