"""MQTT against mosquitto: states, events, discovery, outages, commands."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import anyio
import psutil
import pytest

from appliance.links.links import Links
from appliance.links.mqtt.topics import slug
from tests.conftest import Running, Serve
from tests.links.brokers import Broker, Subscriber, broker, free_port, subscriber
from tests.links.showing import FAST, PERSON, appear, show
from tests.tls import certificates
from tests.web.camera import Camera, camera

ZONES = """
[cameras.gate.zones.yard]
points = [[0, 0], [1, 0], [1, 1], [0, 1]]
classes = ["person"]
"""
BASE = "appliance/box"
GATE = "homeassistant/device/box_gate/config"
YARD_PERSON = f"{slug('yard person')}_count"


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Broker]:
    with broker(tmp_path) as started:
        yield started


def options(port: int, **more: str) -> dict[str, str]:
    return FAST | {
        "mqtt.host": "127.0.0.1", "mqtt.port": str(port), "mqtt.device_id": "box", "mqtt.interval_s": "1"
    } | more  # fmt: skip


@asynccontextmanager
async def linked(
    serve: Serve, mosquitto: Broker, tmp_path: Path, toml: str = ZONES, **more: str
) -> AsyncIterator[tuple[Running, Camera, Subscriber]]:
    """A service with a camera, linked to a broker that a subscriber listens to."""
    path = tmp_path / "appliance.toml"
    path.write_text(toml)
    async with (
        subscriber(mosquitto.port) as seen,
        serve(toml=path, **options(mosquitto.port, **more)) as running,
        camera(running.url, "gate") as gate,
    ):
        await seen.until(lambda: seen.text(f"{BASE}/status") == "online")
        yield running, gate, seen


async def test_the_device_and_its_cameras_publish_their_state(serve: Serve, mosquitto: Broker, tmp_path: Path) -> None:
    async with linked(serve, mosquitto, tmp_path) as (running, gate, seen):
        await seen.until(lambda: seen.latest(f"{BASE}/state"))
        state = seen.latest(f"{BASE}/state")
        assert state["status"] in ("ok", "degraded", "critical")
        assert set(state) == {"status", "findings", "temperature", "throttled", "cooling_state", "memory_available",
                              "rate", "latency", "cameras", "model"}  # fmt: skip
        await show(running, gate, PERSON)
        await seen.until(lambda: (seen.latest(f"{BASE}/cameras/gate/state") or {}).get("classes", {}).get("person"))
        state = seen.latest(f"{BASE}/cameras/gate/state")
        assert state["classes"] == {"person": 1, "car": 0}
        assert state["zones"] == {"yard": {"person": 1}}
        await show(running, gate)
        await seen.until(lambda: not seen.latest(f"{BASE}/cameras/gate/state")["classes"]["person"])
        await seen.until(lambda: seen.latest(f"{BASE}/cameras/gate/state")["last_seen"])


async def test_no_token_is_ever_published(serve: Serve, mosquitto: Broker, tmp_path: Path) -> None:
    tokens = {"server.viewer_token": "planted-viewer", "server.api_key": "planted-key"}
    toml = '[cameras.gate]\ntoken = "planted-gate"\n'
    path = tmp_path / "appliance.toml"
    path.write_text(toml)
    async with (
        subscriber(mosquitto.port) as seen,
        serve(toml=path, **options(mosquitto.port, **tokens)) as running,
        camera(running.url, "gate", token="planted-gate") as gate,
    ):
        made = running.add_token()
        await appear(running, gate)
        await seen.until(lambda: len(seen.events()) == 2)
        said = " ".join(f"{topic} {payload!r}" for topic, payload, _ in seen.messages)
    assert "gate" in said
    assert "planted" not in said
    assert made not in said


async def test_events_are_published_once_and_not_retained(serve: Serve, mosquitto: Broker, tmp_path: Path) -> None:
    async with linked(serve, mosquitto, tmp_path) as (running, gate, seen):
        await appear(running, gate)
        await seen.until(lambda: len(seen.events()) == 2)
        start, end = seen.events()
        assert (start["type"], end["type"]) == ("start", "end")
        assert start["id"] == end["id"]
        assert not any(retained for topic, _, retained in seen.messages if topic.endswith("/event"))


async def test_a_device_that_stops_ends_its_events_and_goes_offline(
    serve: Serve, mosquitto: Broker, tmp_path: Path
) -> None:
    async with subscriber(mosquitto.port, name="other") as other:
        async with linked(serve, mosquitto, tmp_path) as (running, gate, _):
            await show(running, gate, PERSON)
        await other.until(lambda: other.text(f"{BASE}/status") == "offline")
        assert [one["type"] for one in other.events()] == ["start", "end"]
        assert other.events()[1]["reason"] == "device_stopped"


async def test_a_device_that_is_cut_off_goes_offline_by_its_last_will(
    serve: Serve, mosquitto: Broker, tmp_path: Path
) -> None:
    async with (
        cuttable(mosquitto.port) as (port, cut),
        subscriber(mosquitto.port) as seen,
        serve(**options(port)),
    ):
        await seen.until(lambda: seen.text(f"{BASE}/status") == "online")
        cut()
        await seen.until(lambda: [text.decode() for topic, text, _ in seen.messages if topic == f"{BASE}/status"][-2:]
                         == ["offline", "online"])  # fmt: skip


@asynccontextmanager
async def cuttable(port: int) -> AsyncIterator[tuple[int, Callable[[], None]]]:
    """A TCP proxy to this port, and a function that cuts its connections."""
    writers: list[asyncio.StreamWriter] = []

    async def one_way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(one_way(reader, back), one_way(there, writer))

    def cut() -> None:
        for writer in writers:
            writer.transport.abort()

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], cut
    finally:
        cut()
        server.close()


async def test_no_event_is_lost_or_doubled_while_the_broker_is_killed_and_comes_back(
    serve: Serve, mosquitto: Broker, tmp_path: Path
) -> None:
    async with linked(serve, mosquitto, tmp_path) as (running, gate, seen):
        link = running.started.parts.links.mqtt
        assert link is not None
        await appear(running, gate)
        for _ in range(2):
            # What the broker has taken and not yet passed on is lost with it: it keeps nothing on disk.
            await seen.until(lambda: len(seen.events()) in (2, 16))
            mosquitto.kill()
            await seen.until(lambda: link.problem)
            for _ in range(5):
                await appear(running, gate)
            seen.connected.clear()
            mosquitto.start()
            await seen.until(lambda: seen.connected.is_set() and link.problem is None)
            await appear(running, gate)
            await appear(running, gate)
            await seen.until(lambda: link.waiting == 0)
        await show(running, gate, PERSON)
        await seen.until(lambda: seen.events()[-1]["name"] == "person")
        counts = Counter((one["id"], one["type"]) for one in seen.events())
        assert set(counts.values()) == {1}
        ends = {object_id for object_id, kind in counts if kind == "end"}
        starts = {object_id for object_id, kind in counts if kind == "start"}
        assert starts - ends == {seen.events()[-1]["id"]}  # the person is still there
        # The broker forgets its sessions: what it got before the subscriber was back has no receiver.
        assert len(ends - starts) <= 2
        assert len(starts & ends) >= 1 + 2 * 2


async def test_what_an_outage_has_cost_is_in_the_log(
    serve: Serve, mosquitto: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with linked(serve, mosquitto, tmp_path, **{"mqtt.queue": "10"}) as (running, gate, seen):
        link = running.started.parts.links.mqtt
        assert link is not None
        mosquitto.kill()
        await seen.until(lambda: link.problem)
        while not link.dropped:
            await appear(running, gate)
        mosquitto.start()
        await seen.until(lambda: link.problem is None)
        assert f"{link.dropped} event" in caplog.text
        assert "lost, since mqtt.queue holds 10" in caplog.text


async def said_of_test(running: Running) -> Any:
    """What the page's test of the connection says."""
    async with aiohttp.ClientSession(running.url) as session, session.post("/actions/test_mqtt", json={}) as answer:
        assert answer.status == 200
        return await answer.json()


async def test_a_test_message_reaches_the_broker_and_a_lost_link_returns_at_once(
    serve: Serve, mosquitto: Broker, tmp_path: Path
) -> None:
    async with linked(serve, mosquitto, tmp_path) as (running, _, seen):
        link, broker_name = running.started.parts.links.mqtt, f"127.0.0.1:{mosquitto.port}"
        assert link is not None
        assert await said_of_test(running) == {
            "broker": broker_name, "problem": None, "reason": None, "detail": "",
        }  # fmt: skip
        await seen.until(lambda: seen.text(f"{BASE}/test") == "test")
        mosquitto.kill()
        await seen.until(lambda: link.problem)
        assert "refused" in (await said_of_test(running))["problem"]
        assert running.started.parts.entrance.audit.latest(1)[0].action == "mqtt_test"


async def test_a_broker_that_hangs_is_noticed_and_its_event_arrives_once(
    serve: Serve, mosquitto: Broker, tmp_path: Path
) -> None:
    async with linked(serve, mosquitto, tmp_path, **{"mqtt.timeout_s": "1"}) as (running, gate, seen):
        link = running.started.parts.links.mqtt
        assert link is not None
        mosquitto.freeze()
        await appear(running, gate)
        await seen.until(lambda: link.problem)
        await appear(running, gate)
        mosquitto.thaw()
        await seen.until(lambda: link.problem is None)
        await seen.until(lambda: len(seen.events()) == 4)
        assert [one["type"] for one in seen.events()] == ["start", "end"] * 2
        assert len({one["id"] for one in seen.events()}) == 2


async def test_discovery_is_published_again_when_home_assistant_comes_online(
    serve: Serve, mosquitto: Broker, tmp_path: Path
) -> None:
    async with linked(serve, mosquitto, tmp_path) as (_, _, seen):
        await seen.until(lambda: seen.latest(GATE))

        def count() -> int:
            return sum(topic == GATE for topic, _, _ in seen.messages)

        before = count()
        seen.publish("homeassistant/status", "online")
        await seen.until(lambda: count() > before)
        assert seen.latest("homeassistant/device/box/config")["device"]["identifiers"] == ["box"]


async def test_home_assistant_hears_of_the_address_that_the_device_has_now(
    serve: Serve, mosquitto: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network may come after the service, and a lease may give it another address."""
    address = "10.0.0.2"

    def interfaces() -> dict[str, list[SimpleNamespace]]:
        return {"eth0": [SimpleNamespace(family=socket.AF_INET, address=address)]}

    monkeypatch.setattr(psutil, "net_if_addrs", interfaces)
    async with linked(serve, mosquitto, tmp_path, **{"server.host": "0.0.0.0", "server.port": str(free_port())}) as (
        _,
        _,
        seen,
    ):
        await seen.until(lambda: page_of(seen).startswith("https://10.0.0.2:"))
        address = "10.0.0.3"
        await seen.until(lambda: page_of(seen).startswith("https://10.0.0.3:"))


def page_of(seen: Subscriber) -> str:
    return str((seen.latest("homeassistant/device/box/config") or {}).get("device", {}).get("configuration_url", ""))


async def test_a_camera_that_is_removed_disappears_from_the_broker(
    serve: Serve, mosquitto: Broker, tmp_path: Path
) -> None:
    async with linked(serve, mosquitto, tmp_path, toml="") as (running, gate, seen):
        await appear(running, gate)
        await seen.until(lambda: seen.latest(GATE))
        await gate.client.disconnect()
        roster, left = running.started.parts.vitals.roster, running.started.parts.path.book
        await seen.until(lambda: left.get("gate") is None and not roster.sends("gate"))
        roster.remove("gate")
        await seen.until(lambda: seen.text(GATE) == "")
        await seen.until(lambda: seen.text(f"{BASE}/cameras/gate/state") == "")
    async with subscriber(mosquitto.port, name="late") as late:
        await late.until(lambda: late.text(f"{BASE}/status"))
        assert not [topic for topic, _, _ in late.messages if "gate" in topic]


async def test_what_an_earlier_run_left_at_the_broker_is_removed(
    serve: Serve, mosquitto: Broker, tmp_path: Path
) -> None:
    async with linked(serve, mosquitto, tmp_path, toml=ZONES + "[cameras.old]\n") as (_, _, seen):
        await seen.until(lambda: seen.latest("homeassistant/device/box_old/config"))
        await seen.until(lambda: YARD_PERSON in (seen.latest(GATE) or {}).get("components", {}))
    async with linked(serve, mosquitto, tmp_path, toml=ZONES.replace("yard", "door")) as (_, _, seen):
        await seen.until(lambda: seen.text("homeassistant/device/box_old/config") == "")
        await seen.until(lambda: seen.text(f"{BASE}/cameras/old/state") == "")

        def configs() -> list[dict[str, Any]]:
            mine = [one for one in seen.messages if one[0] == GATE]
            return [components for _, payload, _ in mine if payload for components in [_components(payload)]]

        await seen.until(lambda: any(one.get(YARD_PERSON) == {"platform": "sensor"} for one in configs()))
        await seen.until(lambda: YARD_PERSON not in configs()[-1])
        assert any(key.startswith("door_person_") for key in configs()[-1])


@pytest.mark.parametrize(
    "change",
    [
        {"mqtt.discovery": ""},
        {"mqtt.discovery": "other"},
        {"mqtt.device_id": "renamed"},
        {"mqtt.topic": "site/north"},
    ],
    ids=lambda change: "=".join(*change.items()),
)
async def test_what_was_published_under_other_names_is_removed(
    serve: Serve, mosquitto: Broker, tmp_path: Path, change: dict[str, str]
) -> None:
    keep = {"state.history": "true", "state.dir": str(tmp_path / "state")}
    removed = '[cameras."gate / \N{HOUSE BUILDING}"]\n'
    async with linked(serve, mosquitto, tmp_path, toml=ZONES + removed, **keep) as (_, _, seen):
        await seen.until(lambda: len(held(seen)) == 2 + 1 + 2 * 2)
    (tmp_path / "appliance.toml").write_text(ZONES)
    now = {"mqtt.topic": "appliance", "mqtt.device_id": "box", "mqtt.discovery": "homeassistant"} | change
    base, prefix = f"{now['mqtt.topic']}/{now['mqtt.device_id']}", now["mqtt.discovery"]
    wanted = {f"{base}/status", f"{base}/state", f"{base}/cameras/gate/state"}
    if prefix:
        node = f"{prefix}/device/{now['mqtt.device_id']}"
        wanted |= {f"{node}/config", f"{node}_gate/config"}
    flags = options(mosquitto.port, **keep, **change)
    async with (
        subscriber(mosquitto.port, name="second") as seen,
        serve(toml=tmp_path / "appliance.toml", **flags),
    ):
        await seen.until(lambda: held(seen) == wanted)
    assert set(json.loads((tmp_path / "state/mqtt-topics.json").read_text())["topics"]) == wanted


async def test_discovery_that_is_switched_off_is_removed_also_without_a_state_folder(
    serve: Serve, mosquitto: Broker, tmp_path: Path
) -> None:
    async with linked(serve, mosquitto, tmp_path) as (_, _, seen):
        await seen.until(lambda: seen.latest(GATE))
    async with linked(serve, mosquitto, tmp_path, **{"mqtt.discovery": ""}) as (_, _, seen):
        await seen.until(lambda: not any(topic.endswith("/config") for topic in held(seen)))


def held(seen: Subscriber) -> set[str]:
    """The topics under which the broker holds something."""
    latest = {topic: payload for topic, payload, _ in seen.messages if not topic.endswith(("/event", "/test"))}
    return {topic for topic, payload in latest.items() if payload}


async def test_two_devices_with_one_name_are_a_finding_and_do_not_fill_the_log(
    serve: Serve, mosquitto: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """The broker cuts off the one when the other connects. Each would come back a second later, for ever."""
    async with serve(**options(mosquitto.port)) as one, serve(**options(mosquitto.port)) as other:
        both = [running.started.parts.links for running in (one, other)]

        def unsteady() -> bool:
            problems = [links.mqtt_problem for links in both]
            return all(problem is not None and problem.code == "mqtt_unsteady" for problem in problems)

        await until(unsteady)
        lines = len(caplog.records)
        for _ in range(30):
            await asyncio.sleep(0.1)
            assert unsteady()
        assert not [one for one in caplog.records[lines:] if "MQTT" in one.getMessage()]


HUGE = """
import sys
import paho.mqtt.publish
for topic in sys.argv[2:]:
    paho.mqtt.publish.single(topic, bytes(100_000_000), qos=1, retain=True, hostname="127.0.0.1", port=int(sys.argv[1]))
"""


async def test_huge_messages_of_others_fill_no_memory(serve: Serve, mosquitto: Broker, tmp_path: Path) -> None:
    """Before the device connects, and while it is connected; what it says itself still arrives."""
    foreign = f"{BASE}/cameras/old/state"

    async def publish(topic: str) -> None:
        command = [sys.executable, "-c", HUGE, str(mosquitto.port), topic]
        await asyncio.get_running_loop().run_in_executor(None, partial(subprocess.run, command, check=True))

    await publish(foreign)
    before = psutil.Process().memory_info().rss
    most, stop = before, threading.Event()

    def watch() -> None:
        nonlocal most
        while not stop.wait(0.01):
            most = max(most, psutil.Process().memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        async with serve(**options(mosquitto.port)) as running:
            link = running.started.parts.links.mqtt
            assert link is not None
            await until(lambda: link.problem is None)
            await publish("homeassistant/status")
            async with subscriber(mosquitto.port, f"{BASE}/#") as seen:
                await seen.until(lambda: seen.text(f"{BASE}/status") == "online")
                await seen.until(lambda: len([one for one in seen.messages if one[0] == f"{BASE}/state"]) > 2)
                assert foreign not in held(seen)
            assert link.problem is None
    finally:
        stop.set()
        watching.join()
    assert most - before < 60_000_000


async def test_what_others_leave_under_the_devices_topics_is_removed_as_it_is(
    serve: Serve, mosquitto: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Names that no camera has: the topics made from them would be refused by the broker, or could not be sent."""
    names = ("%C2%80", "%zz", "%ED%A0%80", "%" * 30_000, "x" * (65_535 - len(f"{BASE}/cameras//state")), "")
    foreign = {f"{BASE}/cameras/{name}/state" for name in names}
    async with subscriber(mosquitto.port, name="other") as other:
        for topic in foreign:
            other.publish(topic, "x", retain=True)
        await other.until(lambda: foreign <= held(other))
        async with serve(**options(mosquitto.port)):
            await other.until(lambda: not foreign & held(other))
    assert "no connection to the MQTT broker" not in caplog.text
    assert "mqtt failed" not in caplog.text


def _components(payload: bytes) -> dict[str, Any]:
    return dict(json.loads(payload)["components"])


@pytest.mark.parametrize("allowed", ["false", "true"])
async def test_commands_are_ignored_unless_allowed(
    serve: Serve, mosquitto: Broker, tmp_path: Path, allowed: str
) -> None:
    async with linked(serve, mosquitto, tmp_path, **{"mqtt.commands": allowed}) as (running, _, seen):
        governor = running.started.parts.governor
        await seen.until(lambda: seen.latest("homeassistant/device/box/config"))
        buttons = "release_governor" in seen.latest("homeassistant/device/box/config")["components"]
        assert buttons is (allowed == "true")
        governor.hold(1, 600)
        seen.publish(f"{BASE}/command/nonsense", "PRESS")
        seen.publish(f"{BASE}/command/release_governor", "PRESS")
        if allowed == "true":
            await seen.until(lambda: governor.held_for_s is None)
        else:
            before = len(seen.messages)
            seen.publish("homeassistant/status", "online")  # handled after the command
            await seen.until(lambda: len(seen.messages) > before + 2)
            assert governor.held_for_s is not None
            governor.release()


@pytest.mark.parametrize("allowed", [True, False])
async def test_the_best_picture_is_published_where_that_is_allowed(
    serve: Serve, mosquitto: Broker, tmp_path: Path, allowed: bool
) -> None:
    flags, topic = (
        {"mqtt.pictures": "true", "server.keep_pictures": str(allowed).lower()},
        f"{BASE}/cameras/gate/picture",
    )
    async with linked(serve, mosquitto, tmp_path, **flags) as (running, gate, seen):
        await seen.until(lambda: seen.latest(GATE))
        assert ("picture" in seen.latest(GATE)["components"]) is allowed
        await appear(running, gate)
        await seen.until(lambda: len(seen.events()) == 2)
        if allowed:
            await seen.until(lambda: any(name == topic for name, _, _ in seen.messages))
        await seen.until(lambda: (seen.latest(f"{BASE}/state") or {}).get("cameras"))
        pictures = {payload for name, payload, _ in seen.messages if name == topic}
        assert len(pictures) == int(allowed)
        assert all(one.startswith(b"\xff\xd8") for one in pictures)


async def test_pictures_that_are_no_longer_allowed_do_not_stay_at_the_broker(
    serve: Serve, mosquitto: Broker, tmp_path: Path
) -> None:
    topic, kept = f"{BASE}/cameras/gate/picture", {"server.keep_pictures": "true"}
    async with linked(serve, mosquitto, tmp_path, **kept, **{"mqtt.pictures": "true"}) as (running, gate, seen):
        await appear(running, gate)
        await seen.until(lambda: any(name == topic and payload for name, payload, _ in seen.messages))
    async with linked(serve, mosquitto, tmp_path, **kept) as (_, _, seen):
        await seen.until(lambda: [payload for name, payload, _ in seen.messages if name == topic][-1:] == [b""])


def refused_login(links: Links) -> bool:
    return links.mqtt_problem is not None and links.mqtt_problem.code == "mqtt_login"


async def test_a_broker_that_refuses_the_password_is_a_finding(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "passwords").write_text("")
    subprocess.run(
        ["mosquitto_passwd", "-b", str(tmp_path / "passwords"), "device", "right"], check=True, capture_output=True
    )
    with broker(tmp_path, f"allow_anonymous false\npassword_file {tmp_path / 'passwords'}") as strict:
        for password, connects in (("right", True), ("wrong", False)):
            flags = options(strict.port, **{"mqtt.username": "device", "mqtt.password": password})
            async with serve(**flags) as running, subscriber(strict.port, login=("device", "right")) as seen:
                links = running.started.parts.links
                if connects:
                    await seen.until(lambda links=links: links.mqtt_problem is None)  # type: ignore[misc]
                else:
                    await seen.until(lambda links=links: refused_login(links))  # type: ignore[misc]
                    assert "wrong" not in str(links.mqtt_problem)


async def test_a_password_that_is_changed_at_the_broker_is_what_the_finding_and_the_test_say(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("")

    def let_in(password: str) -> None:
        subprocess.run(["mosquitto_passwd", "-b", str(passwords), "device", password], check=True, capture_output=True)

    let_in("right")
    with broker(tmp_path, f"allow_anonymous false\npassword_file {passwords}") as strict:
        flags = options(strict.port, **{"mqtt.username": "device", "mqtt.password": "right"})
        async with serve(**flags) as running, subscriber(strict.port, login=("device", "right")) as seen:
            links = running.started.parts.links
            await seen.until(lambda: links.mqtt_problem is None)
            strict.kill()
            let_in("another")
            strict.start()
            await seen.until(lambda: refused_login(links))
            assert (await said_of_test(running))["reason"] == "mqtt_login"
            audited = running.started.parts.entrance.audit.latest(1)[0]
            assert (audited.action, audited.ok, audited.fields["code"]) == ("mqtt_test", False, "mqtt_failed")
    gc.collect()
    assert "never retrieved" not in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves refused sockets to the GC
async def test_the_connection_is_encrypted_and_the_brokers_certificate_is_checked(serve: Serve, tmp_path: Path) -> None:
    own, other = certificates.write(tmp_path / "own"), certificates.write(tmp_path / "other")
    lines = f"allow_anonymous true\ncertfile {own.certificate}\nkeyfile {own.key}"
    with broker(tmp_path, lines) as encrypted:
        trusted = ssl.create_default_context(cafile=str(own.certificate))
        for trust, name, problem in (
            (own.certificate, "localhost", None),
            (other.certificate, "localhost", "certificate is not trusted"),
            (own.certificate, "127.0.0.1", "certificate is not trusted"),
            (tmp_path / "none.pem", "localhost", "No such file"),
        ):
            flags = options(encrypted.port, **{"mqtt.tls": "true", "mqtt.ca_file": str(trust), "mqtt.host": name})
            async with (
                serve(**flags) as running,
                subscriber(encrypted.port, tls=trusted, host="localhost") as seen,
            ):
                links = running.started.parts.links
                if problem is None:
                    await seen.until(lambda: seen.text(f"{BASE}/status") == "online")
                else:
                    await seen.until(lambda links=links, problem=problem: problem in str(links.mqtt_problem))  # type: ignore[misc]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves refused sockets to the GC
async def test_certificates_that_are_renewed_are_used_without_a_restart(serve: Serve, tmp_path: Path) -> None:
    """The broker's and the device's own, as an authority replaces them while the service runs for years."""
    server, device = certificates.write(tmp_path / "server"), certificates.write(tmp_path / "device")
    files = {"mqtt.ca_file": server.certificate, "mqtt.cert_file": device.certificate, "mqtt.key_file": device.key}
    lines = (
        f"allow_anonymous true\ncertfile {server.certificate}\nkeyfile {server.key}\n"
        f"require_certificate true\ncafile {tmp_path / 'accepted.pem'}"
    )
    (tmp_path / "accepted.pem").write_bytes(device.certificate.read_bytes())
    with broker(tmp_path, lines) as encrypted:
        flags = {"mqtt.tls": "true", "mqtt.host": "localhost", **{key: str(path) for key, path in files.items()}}
        async with serve(**options(encrypted.port, **flags)) as running:
            links = running.started.parts.links
            await until(lambda: links.mqtt_problem is None)
            encrypted.kill()
            certificates.write(tmp_path / "server")
            renewed = certificates.write(tmp_path / "device")
            (tmp_path / "accepted.pem").write_bytes(renewed.certificate.read_bytes())
            encrypted.start()
            await until(lambda: links.mqtt_problem is not None)
            await until(lambda: links.mqtt_problem is None)


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(30):
        while not holds():
            await asyncio.sleep(0.02)
