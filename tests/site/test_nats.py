"""The bus over a real NATS server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from appliance.site.bus import Subjects
from appliance.site.exchange import Exchange
from appliance.site.nats_bus import NatsBus, NatsOptions
from appliance.site.nkey import make_nkey
from appliance.site.presence import Neighbours, Presence, wanted_of
from tests.conftest import Serve
from tests.fakes import CANARY_ROWS, FakeEngine
from tests.tls import certificates
from tests.web.camera import camera
from tests.web.requests import picture

SERVER = shutil.which("nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = pytest.mark.skipif(SERVER is None, reason="nats-server is not installed: apt install nats-server")


class Server:
    """A NATS server on a port of its own."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"nats://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert SERVER is not None
        command = [SERVER, *self._arguments, "-a", "127.0.0.1", "-p", str(self.port)]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    one.start()
    yield one
    one.stop()


class Heard:
    """Passes on what a bus carries."""

    def __init__(self, receive: Callable[[str, bytes], None]) -> None:
        self.receive = receive

    def joined(self) -> None:
        pass


@asynccontextmanager
async def bus(
    server: Server,
    name: str,
    receive: Callable[[str, bytes], None],
    key_file: str = "",
    ca_file: str = "",
    patience_s: float = 30,
) -> AsyncIterator[NatsBus]:
    one = NatsBus(NatsOptions((server.url,), name, key_file, ca_file), patience_s)
    task = asyncio.create_task(one.run(Heard(receive)))
    try:
        yield one
    finally:
        task.cancel()
        await asyncio.wait({task})


class Viewers:
    """Viewers of one device; `got`: the numbers of the results that they got."""

    def __init__(self, cameras: frozenset[str]) -> None:
        self._cameras, self.got = cameras, list[int]()

    def subscribed(self) -> frozenset[str]:
        return self._cameras

    def deliver(self, camera: str, payload: dict[str, Any]) -> None:
        self.got.append(payload["frame_id"])


def on_bus(name: str, servers: list[str], viewers: Viewers, tasks: list[asyncio.Task[None]]) -> Exchange:
    """A device's end of the bus, which runs in tasks that are added to these."""
    nats = NatsBus(NatsOptions(servers, name))
    exchange = Exchange(
        nats,
        subjects=Subjects("site"),
        viewers=viewers,
        describe=lambda: Presence(
            device=name, version="1", state="ok", headroom=1.0, capacity=1.0, wants=wanted_of(viewers.subscribed())
        ),
        neighbours=Neighbours(name, time.monotonic),
        clock=time.monotonic,
    )
    tasks += [asyncio.create_task(nats.run(exchange)), asyncio.create_task(exchange.run())]
    return exchange


async def until(holds: Callable[[], object], within_s: float = 20) -> None:
    with anyio.fail_after(within_s):
        while not holds():
            await asyncio.sleep(0.02)


async def test_messages_reach_who_wants_them_and_again_after_the_server_was_away(server: Server) -> None:
    got: list[tuple[str, bytes]] = []
    async with bus(server, "box1", lambda *_: None) as one, bus(server, "box2", lambda *it: got.append(it)) as two:
        two.want(frozenset({"site.results.gate"}))

        def sent() -> bool:
            one.publish("site.results.gate", b"seen")
            one.publish("site.results.yard", b"not asked for")
            return bool(got)

        await until(sent)
        server.stop()
        await until(lambda: one.problem is not None and two.problem is not None)
        for _ in range(1000):
            one.publish("site.results.gate", b"lost")
        assert one.dropped >= 1000
        got.clear()
        server.start()
        await until(sent)
        assert set(got) == {("site.results.gate", b"seen")}


async def test_a_message_that_is_too_long_for_the_server_is_dropped_and_ends_no_connection(server: Server) -> None:
    got: list[bytes] = []
    async with bus(server, "box1", lambda *_: None) as one, bus(server, "box2", lambda _, it: got.append(it)) as two:
        two.want(frozenset({"site.results.gate"}))

        def arrives(message: bytes) -> bool:
            one.publish("site.results.gate", message)
            return message in got

        await until(lambda: arrives(b"before"))
        dropped = one.dropped
        one.publish("site.results.gate", bytes(2_000_000))
        one.publish("site.results.gate", b"after")  # once: nothing is sent again here
        await until(lambda: b"after" in got)
        assert (one.problem, one.dropped) == (None, dropped + 1)


async def test_an_authority_that_is_renewed_is_trusted_without_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """So is a certificate that was not valid yet while the clock of the device was wrong."""
    written = certificates.write(tmp_path / "server")
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(certificates.write(tmp_path / "former").certificate.read_bytes())
    (tmp_path / "nats.conf").write_text(f'tls {{ cert_file: "{written.certificate}", key_file: "{written.key}" }}')
    server = Server("-c", str(tmp_path / "nats.conf"))
    server.url = f"tls://localhost:{server.port}"
    server.start()
    try:
        async with bus(server, "box1", lambda *_: None, "", str(trusted), patience_s=1) as one:
            for renewals in range(2):
                await until(lambda: "CERTIFICATE_VERIFY_FAILED" in (one.problem or ""))
                await asyncio.sleep(1.5)
                assert "CERTIFICATE_VERIFY_FAILED" in (one.problem or "")
                trusted.write_bytes(written.certificate.read_bytes())
                await until(lambda: one.problem is None)
                if not renewals:
                    server.stop()
                    certificates.write(tmp_path / "server")
                    server.start()
            assert caplog.text.count("no connection to the bus of the site") == 1
    finally:
        server.stop()


async def test_over_tls_only_a_device_with_a_key_is_let_in_and_only_a_known_server_is_used(tmp_path: Path) -> None:
    made = make_nkey(tmp_path / "box1.nk")
    written = certificates.write(tmp_path)
    (tmp_path / "nats.conf").write_text(
        f"""
        tls {{ cert_file: "{written.certificate}", key_file: "{written.key}" }}
        authorization {{ users: [ {{
          nkey: {made.public},
          permissions: {{ publish: ["site.presence"], subscribe: ["site.presence"] }}
        }} ] }}
        """
    )
    server = Server("-c", str(tmp_path / "nats.conf"))
    server.url = f"tls://localhost:{server.port}"
    key, trusted = str(tmp_path / "box1.nk"), str(written.certificate)
    got: list[str] = []
    server.start()
    try:
        async with (
            bus(server, "box1", lambda *_: None, key, trusted) as one,
            bus(server, "box2", lambda subject, _: got.append(subject), key, trusted) as two,
            bus(server, "stranger", lambda *_: None, "", trusted) as stranger,
            bus(server, "careful", lambda *_: None, key, "") as careful,
        ):
            two.want(frozenset({"site.presence"}))

            def sent() -> bool:
                one.publish("site.presence", b"here")
                return bool(got)

            await until(sent)
            await until(lambda: "Authorization" in (stranger.problem or ""))
            await until(lambda: "CERTIFICATE_VERIFY_FAILED" in (careful.problem or ""))
    finally:
        server.stop()


async def test_a_viewer_of_any_device_sees_the_cameras_of_all(server: Server, serve: Serve) -> None:
    flags = {"site__bus_servers": server.url}
    async with (
        serve(FakeEngine(CANARY_ROWS), wait_ready=True, site__device="box1", **flags) as one,
        serve(FakeEngine(CANARY_ROWS), wait_ready=True, site__device="box2", **flags) as two,
        camera(one.url) as viewer,
        camera(two.url, "gate") as gate,
    ):
        await viewer.call("subscribe", {"cameras": "*"})
        reports = one.started.parts.site.report, two.started.parts.site.report
        await until(lambda: all(len(report()["devices"]) == 2 for report in reports))
        await until(lambda: "*" in reports[1]()["devices"][1]["wants"])
        await gate.push({"image": picture(1), "frame_id": 7})
        result = await viewer.first("detection_results")
        assert (result["camera"], result["frame_id"]) == ("gate", 7)
        await gate.first("detection_results")
        assert [one for one, _ in gate.heard].count("detection_results") == 1
        assert reports[0]()["bus"]["problem"] is None
        server.stop()
        await until(lambda: two.started.parts.vitals.notices().site.bus_problem is not None)
        await gate.push({"image": picture(2), "frame_id": 8})  # its own work goes on
        assert (await gate.answer(8))[0] == "detection_results"


@pytest.mark.parametrize("whose", ["the sender's", "the receiver's"])
async def test_nothing_is_lost_when_a_server_hangs(whose: str) -> None:
    """Two servers in a mesh; each device uses its own first."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        route = free.getsockname()[1]
    mesh = ("--cluster_name", "site", "--cluster")
    servers = [
        Server(*mesh, f"nats://127.0.0.1:{route}"),
        Server(*mesh, "nats://127.0.0.1:-1", "--routes", f"nats://127.0.0.1:{route}"),
    ]
    for one in servers:
        one.start()
    viewers = Viewers(frozenset()), Viewers(frozenset({"gate"}))
    tasks = list[asyncio.Task[None]]()
    exchanges = []
    for number in range(2):
        exchange = on_bus(f"box{number}", [servers[number].url, servers[1 - number].url], viewers[number], tasks)
        exchanges.append(exchange)
    sender, number = exchanges[0], 0
    try:
        await until(lambda: sender.neighbours.want("gate"))
        hung = servers[whose == "the receiver's"]
        for _ in range(100):
            number += 1
            sender.publish("gate", {"frame_id": number})
            if number == 20:
                assert hung.process is not None
                hung.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(0.1)
        await until(lambda: len(viewers[1].got) >= number)
        assert sorted(viewers[1].got) == list(range(1, number + 1))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for one in servers:
            one.stop()


async def test_a_hub_keeps_the_findings_of_its_sites(serve: Serve, tmp_path: Path) -> None:
    """By a leaf node and a JetStream stream, as docs/site.md shows."""
    from nats.aio.client import Client
    from nats.js.errors import NotFoundError

    with socket.create_server(("127.0.0.1", 0)) as free:
        leaf = free.getsockname()[1]
    hub_text = f'jetstream {{ store_dir: "{tmp_path}" }}\nleafnodes {{ listen: 127.0.0.1:{leaf} }}'
    (tmp_path / "hub.conf").write_text(hub_text)
    (tmp_path / "site.conf").write_text(f'leafnodes {{ remotes: [ {{ url: "nats://127.0.0.1:{leaf}" }} ] }}')
    hub, north = Server("-c", str(tmp_path / "hub.conf")), Server("-c", str(tmp_path / "site.conf"))
    hub.start()
    north.start()
    client = Client()
    said: dict[str, Any] = {"findings": []}
    try:
        await until(lambda: hub.listens() and north.listens())
        await client.connect(hub.url)
        stream = client.jetstream()
        await stream.add_stream(name="FINDINGS", subjects=["*.findings.*"], max_msgs_per_subject=100)
        flags = {"site__bus_servers": north.url, "site__bus_name": "north", "site__device": "box.1"}
        async with serve(FakeEngine(CANARY_ROWS), wait_ready=True, **flags):
            with anyio.fail_after(30):
                while not said["findings"]:
                    with contextlib.suppress(NotFoundError):
                        kept = await stream.get_last_msg("FINDINGS", "north.findings.box%2E1")
                        said = json.loads(kept.data or b"")
                    await asyncio.sleep(0.1)
        assert said["device"] == "box.1"
        assert {"code", "severity", "since", "what", "do"} <= said["findings"][0].keys()
    finally:
        await client.close()
        north.stop()
        hub.stop()


def test_nothing_of_nats_is_imported_without_a_bus() -> None:
    program = "import sys, appliance.service.run; print(sorted({'nats', 'grpc'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"
