"""What a site costs one device, measured: the messages between devices, and what front and Prometheus ask for."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import psutil
import socketio

from appliance.health.finding import Finding, Severity
from appliance.health.findings import advise
from appliance.site.bus import Subjects
from appliance.site.exchange import Exchange, SharedResult
from appliance.site.moves import MoveRules, MoveState, OtherDevice, Resident, Situation, decide_moves
from appliance.site.nats_bus import NatsBus, NatsOptions
from appliance.site.presence import Neighbours, Presence
from appliance.web.report import of_findings
from tests.benchmarks.service import Service, running
from tests.fakes import FakeClock
from tests.web.requests import picture

CAMERAS = 50
"""Of one device."""
_NAMES = tuple(f"camera {number:02}" for number in range(CAMERAS))
_SUBJECT = "site.results.camera%2007"
_TIMES = 2000
_RESULT = {
    "camera": "camera 07", "frame_id": 4711, "captured_at": 1.8e9, "detections": [
        {"name": "person", "class": 0, "confidence": 0.87, "box": {"x1": 1.5, "y1": 2.5, "x2": 300.5, "y2": 400.5}}
    ] * 4, "image_size": {"width": 1280, "height": 720}, "model": "yolo11n", "cached": False,
    "timing": {"wait_ms": 1.2, "decode_ms": 3.1, "infer_ms": 30.2, "total_ms": 35.1},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU times in microseconds, sizes in bytes. Those of the bus are of our process, without the server's."""

    result_bytes: int
    unwanted_us: float
    """A result that nobody else wants."""
    wanted_us: float
    """Encode a result and hand it to the bus."""
    received_us: float
    """Take a result of another device."""
    repeated_us: float
    """Take one that has come before: it was sent again."""
    presence_bytes: int
    presence_us: float
    heard_us: float
    """Take another device's presence, among 200."""
    findings_bytes: int
    """One finding of a device, for a hub."""
    decide_us: float
    """Decide about moves among 200 devices; once a second."""
    carried_us: float
    """Send and receive a message over NATS, both ends."""
    server_us: float
    """The same, of the NATS server."""
    connect_ms: float
    """A camera that connects."""
    agent_check_us: float
    scrape_ms: float
    scrape_bytes: int
    series: int


def measured() -> Costs:
    """Measure everything, which takes half a minute."""
    exchange, message, presence = _exchange(wanted=True), _message(1.8e9), _presence("box2")
    fresh = iter([_message(1.8e9 + number / 100) for number in range(5 * _TIMES)])
    unwanted = _exchange(wanted=False)
    carried_us, server_us = asyncio.run(_over_nats(message))
    with running(f"site.agent_port={(port := _free_port())}", "server.trusted_proxies=127.0.0.1") as service:
        connect_ms, scrape = asyncio.run(_asked(service, port))
    return Costs(
        result_bytes=len(message),
        unwanted_us=_us(lambda: unwanted.publish("camera 07", _RESULT)),
        wanted_us=_us(lambda: exchange.publish("camera 07", _RESULT)),
        received_us=_us(lambda: exchange.receive(_SUBJECT, next(fresh))),
        repeated_us=_us(lambda: exchange.receive(_SUBJECT, message)),
        presence_bytes=len(msgspec.json.encode(presence)),
        presence_us=_us(lambda: msgspec.json.encode(_presence("box2"))),
        heard_us=_heard_us(),
        findings_bytes=_findings_bytes(),
        decide_us=_decide_us(),
        carried_us=carried_us,
        server_us=server_us,
        connect_ms=connect_ms,
        agent_check_us=scrape.agent_check_us,
        scrape_ms=scrape.scrape_ms,
        scrape_bytes=scrape.scrape_bytes,
        series=scrape.series,
    )


class _Viewers:
    def subscribed(self) -> frozenset[str]:
        return frozenset()

    def deliver(self, camera: str, payload: dict[str, Any]) -> None:
        pass


class _Sink:
    problem = None

    def publish(self, subject: str, message: bytes) -> None:
        pass

    def want(self, subjects: frozenset[str]) -> None:
        pass


def _presence(device: str, wants: tuple[str, ...] = ()) -> Presence:
    return Presence(
        device=device, version="1.0.0", state="ok", url=f"https://{device}.example:8080/", headroom=1.0, capacity=24.0,
        temp_c=61.5, moving=CAMERAS, cameras=_NAMES, wants=wants,
    )  # fmt: skip


def _message(at_s: float) -> bytes:
    return msgspec.json.encode(SharedResult("box2", at_s, "camera 07", _RESULT, run="0" * 16, up_s=at_s))


def _findings_bytes() -> int:
    """Of a message with one finding."""
    advice = advise(
        Severity.DEGRADED,
        "No connection to the bus of the site: {problem}",
        "Check that a NATS server of site.bus_servers runs and accepts this device's key.",
        problem="the connection was lost",
    )
    finding = Finding("site_bus_away", advice.severity, advice.what, advice.do, 0.0, advice.case, advice.values)
    message = {"device": "box2", "at_s": 1.8e9, "findings": of_findings((finding,), 61.0, 1.8e9)}
    return len(msgspec.json.encode(message))


def _exchange(*, wanted: bool) -> Exchange:
    clock, subjects = FakeClock(), Subjects("site")
    exchange = Exchange(
        _Sink(), subjects=subjects, viewers=_Viewers(), describe=lambda: _presence("box1"),
        neighbours=Neighbours("box1", clock), clock=clock, wall_clock=lambda: 1.8e9,
    )  # fmt: skip
    exchange.receive(subjects.presence, msgspec.json.encode(_presence("box2", _NAMES if wanted else ())))
    return exchange


def _us(act: Callable[[], object], times: int = _TIMES) -> float:
    """CPU time of one call: the least of five medians' worth, which other work on the machine disturbs least."""
    found = []
    for _ in range(5):
        begun = time.process_time()
        for _ in range(times):
            act()
        found.append((time.process_time() - begun) / times * 1e6)
    return min(found)


def _heard_us() -> float:
    neighbours = Neighbours("box0", FakeClock())
    messages = [msgspec.json.encode(_presence(f"box{number}", _NAMES[:5])) for number in range(1, 200)]
    return _us(lambda: [neighbours.hear(one) for one in messages], 5) / len(messages)


def _decide_us() -> float:
    others = {f"box{number}": OtherDevice(1.0, 24.0, CAMERAS) for number in range(199)}
    residents = [Resident(name, 0, 1000.0) for name in _NAMES]
    seen = Situation(now_s=1000.0, headroom=1.0, residents=residents, capacity=24.0, others=others)
    return _us(lambda: decide_moves(MoveState(), seen, MoveRules()), 50)


class _Counted:
    """Counts what buses carry."""

    got = 0

    def receive(self, subject: str, message: bytes) -> None:
        self.got += 1

    def joined(self) -> None:
        pass


async def _over_nats(message: bytes, count: int = 4000) -> tuple[float, float]:
    """CPU time of a message: of our process and of the server."""
    port = _free_port()
    with _nats(port) as server:
        counted = _Counted()
        options = [NatsOptions((f"nats://127.0.0.1:{port}",), name) for name in ("box1", "box2")]
        sender, receiver = NatsBus(options[0]), NatsBus(options[1])
        receiver.want(frozenset({"site.results.a"}))
        tasks = [asyncio.create_task(bus.run(counted)) for bus in (sender, receiver)]
        while sender.problem or receiver.problem:
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)
        ours, theirs = time.process_time(), sum(server.cpu_times()[:2])
        for _ in range(count // 100):
            for _ in range(100):
                sender.publish("site.results.a", message)
            await asyncio.sleep(0.01)
        deadline_s = time.monotonic() + 20
        while counted.got < count and time.monotonic() < deadline_s:
            await asyncio.sleep(0.05)
        spent = time.process_time() - ours, sum(server.cpu_times()[:2]) - theirs
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return spent[0] / counted.got * 1e6, spent[1] / counted.got * 1e6


@contextlib.contextmanager
def _nats(port: int) -> Iterator[psutil.Process]:
    program = shutil.which("nats-server", path="/usr/bin:/usr/sbin:/usr/local/bin")
    assert program is not None, "nats-server is not installed: apt install nats-server"
    process = subprocess.Popen([program, "-a", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True, slots=True)
class _Asked:
    agent_check_us: float
    scrape_ms: float
    scrape_bytes: int
    series: int


async def _asked(service: Service, agent_port: int) -> tuple[float, _Asked]:
    """What a device with CAMERAS cameras spends on connections, on the front and on Prometheus."""
    idle_per_s = min([await _in_a_second(service) for _ in range(10)])  # at first it still warms up
    before, begun = service.cpu_s(), time.monotonic()
    clients: list[Any] = [socketio.AsyncClient(reconnection=False) for _ in _NAMES]
    for name, client in zip(_NAMES, clients, strict=True):
        await client.connect(service.url, auth={"name": name}, transports=["websocket"])
    connect_s = service.cpu_s() - before - idle_per_s * (time.monotonic() - begun)
    for number, client in enumerate(clients):
        await client.emit("process_frame", {"image": picture(number % 8)})
    await asyncio.sleep(5)

    def spent(act: Callable[[], object], times: int) -> float:
        before, begun = service.cpu_s(), time.monotonic()
        for _ in range(times):
            act()
        return (service.cpu_s() - before - idle_per_s * (time.monotonic() - begun)) / times

    text = await asyncio.to_thread(_get, f"{service.url}/metrics")
    scrape_s = statistics.median([await asyncio.to_thread(spent, lambda: _get(f"{service.url}/metrics"), 20)
                                  for _ in range(3)])  # fmt: skip
    check_s = await asyncio.to_thread(spent, lambda: _line(agent_port), 500)
    for client in clients:
        await client.shutdown()
    series = sum(not line.startswith(b"#") for line in text.splitlines())
    return connect_s / CAMERAS * 1000, _Asked(check_s * 1e6, scrape_s * 1000, len(text), series)


async def _in_a_second(service: Service) -> float:
    before, begun = service.cpu_s(), time.monotonic()
    await asyncio.sleep(1)
    return (service.cpu_s() - before) / (time.monotonic() - begun)


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as answer:
        body: bytes = answer.read()
    return body


def _line(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 5) as one:
        assert one.recv(100)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
