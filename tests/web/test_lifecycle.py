"""Every connection joins and leaves once, whatever its client sends, and affects no other client."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import anyio
import pytest

from tests.conftest import Running, Serve
from tests.web.camera import camera
from tests.web.requests import picture
from tests.web.wire import wire

RESERVED = ("connect", "disconnect", "connect_error", "message", "*", "__disconnect_final", "unknown event", "")

MALFORMED = (
    "b!!!", "4", "49", "42", "42[]", "42{}", "42[1]", '42[["process_frame"]]', '42[{"a":1}]', "42null", "4[1]",
    '450-["process_frame"]', '4999999999-["process_frame"]', '459999-["process_frame",{"_placeholder":true,"num":0}]',
    '45["process_frame"]', '44"no"', "46", b"binary without an event", "42" + "[" * 100_000, "4\x00",
    '421-["process_frame"]', "42²[]", '451-["process_frame",[' + '{"_placeholder":true,"num":0},' * 5000 + "0]]",
)  # fmt: skip


def here(running: Running) -> set[str]:
    """The connected cameras of the service, without its own and the HTTP slots."""
    return {name for name in running.started.parts.path.pace.stats() if not name.startswith(("_", "http-"))}


async def until_only(running: Running, *names: str) -> None:
    """Wait until only these clients are known."""
    publisher = running.started.parts.path.publisher
    expected = len(names), set(names), set(names)
    with anyio.move_on_after(10):
        while (len(publisher), here(running), set(publisher._of_camera)) != expected:
            await asyncio.sleep(0.01)
    assert (len(publisher), here(running), set(publisher._of_camera)) == expected


async def still_answers(running: Running, number: int) -> None:
    async with camera(running.url, "good") as good:
        await good.push({"image": picture(number % 20), "frame_id": number})
        assert (await good.answer(number))[0] == "detection_results"


@pytest.mark.parametrize("event", RESERVED)
async def test_client_events_cannot_call_the_lifecycle_handlers(live: Running, event: str) -> None:
    async with wire(live.url) as one:
        await one.join({"name": "one"})
        forged: list[list[Any]] = [[], [{}], [{}, {"name": "two"}], ["transport close"]]
        for arguments in forged:
            answer = await one.call(7, [event, *arguments])
            assert answer["status"] == "error"
            assert answer["reason"].startswith("event_unknown")
        assert live.started.parts.path.publisher._of_camera.keys() == {"one"}
        acknowledged = await one.call(8, ["process_frame", "not a picture"])
        assert acknowledged["reason"] == "base64_invalid"
    await until_only(live)


async def test_a_connection_keeps_one_name_whatever_it_sends(live: Running) -> None:
    async with wire(live.url) as one:
        await one.join({"name": "one"})
        for number in range(300):
            await one.send("42" + json.dumps(["connect", {}, {"name": f"name-{number}"}]))
        assert (await one.call(1, ["subscribe", {"cameras": "*"}]))["status"] == "subscribed"
        assert here(live) <= {"one"}
    await until_only(live)
    await still_answers(live, 1)


@pytest.mark.parametrize("event", ["subscribe", "unsubscribe"])
@pytest.mark.parametrize("arguments", [[], [1], [{"cameras": "*"}, 2], [{"cameras": [["a"]]}], [{"cameras": {}}]])
async def test_invalid_arguments_are_a_client_error(
    live: Running, event: str, arguments: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with wire(live.url) as one:
        await one.join({"name": "one"})
        assert (await one.call(1, [event, *arguments]))["reason"].startswith("option_invalid")
    assert "Traceback" not in caplog.text


async def test_a_connection_joins_once(live: Running) -> None:
    async with wire(live.url) as one:
        assert (await one.join({"name": "one"})).startswith("40")
        assert "Unable to connect" in await one.join({"name": "two"})
        assert here(live) == {"one"}
    await until_only(live)


async def test_a_connection_may_rejoin_with_another_name(live: Running) -> None:
    async with wire(live.url) as one:
        for number in range(50):
            assert (await one.join({"name": f"name-{number}"})).startswith("40")
            await one.send("41")
    await until_only(live)


async def test_other_namespaces_are_refused_without_leftovers(live: Running) -> None:
    async with wire(live.url) as one:
        for number in range(50):
            await one.send(f"40/name-{number},")
            assert "Unable to connect" in await one.next("44/")
    await until_only(live)


@pytest.mark.parametrize("message", MALFORMED, ids=lambda message: ascii(message[:20]))
@pytest.mark.parametrize("joined", [True, False])
async def test_a_malformed_packet_closes_only_its_own_connection(
    live: Running, message: str | bytes, joined: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with camera(live.url, "good") as good, wire(live.url) as one:
        if joined:
            await one.join({"name": "bad"})
        await one.send(message)
        await one.closed()
        await until_only(live, "good")
        await good.push({"image": picture(2), "frame_id": 2})
        await good.answer(2)
    service = [record for record in caplog.records if not record.name.startswith("engineio.client")]
    lines = [record for record in service if record.levelname in ("WARNING", "ERROR")]
    assert [record.getMessage().count("\n") for record in lines] == [0]
    assert not any(record.exc_info for record in lines)
    assert lines[0].__dict__["code"] in ("bad_packet", "ingress_long")


@pytest.mark.parametrize("attachment", [b"\xff\xd8", "text", json.dumps({"a": 1})], ids=["bytes", "text", "object"])
@pytest.mark.parametrize("number", [1, -1, "x", None])
async def test_an_invalid_attachment_placeholder_affects_no_other_client(
    live: Running, attachment: str | bytes, number: Any
) -> None:
    async with wire(live.url) as one:
        await one.join({"name": "bad"})
        await one.send("451-" + json.dumps(["process_frame", {"_placeholder": True, "num": number}]))
        await one.send(attachment if isinstance(attachment, bytes) else "4" + attachment)
        await still_answers(live, 3)
    await until_only(live)


async def test_endless_attachments_close_the_connection(live: Running) -> None:
    """The service accepts frames of 200 kB, and keeps at most three times as much for one event."""
    async with wire(live.url) as one:
        await one.join({"name": "bad"})
        await one.send('4532-["process_frame",{"_placeholder":true,"num":0}]')
        for _ in range(4):
            await one.send(bytes(190_000))
        await one.closed()
    await until_only(live)


async def polls(session: aiohttp.ClientSession, url: str, body: str) -> str:
    """Start a polling session that sends all packets in one body; returns its id."""
    address = f"{url}/socket.io/?EIO=4&transport=polling"
    async with session.get(address) as answer:
        sid = str(json.loads((await answer.text())[1:])["sid"])
    async with session.post(f"{address}&sid={sid}", data=body) as answer:
        await answer.read()
    return sid


async def test_a_connect_after_close_leaves_no_stale_client(live: Running) -> None:
    async with aiohttp.ClientSession() as session:
        for number in range(20):
            await polls(session, live.url, f'1\x1e40{{"name":"ghost-{number}"}}')
    await until_only(live)
    assert "ghost" not in json.dumps(list(here(live)))


async def test_a_polling_client_cannot_run_two_handlers_at_once(serve: Serve) -> None:
    """Two parallel requests are two tasks, but their frames are handled one after another."""
    async with serve(flow__burst="100") as running, aiohttp.ClientSession() as session:
        sid = await polls(session, running.url, '40{"name":"gate"}')
        address = f"{running.url}/socket.io/?EIO=4&transport=polling&sid={sid}"

        async def post(name: str) -> None:
            async with session.post(address, data=f'41\x1e40{{"name":"{name}"}}') as answer:
                await answer.read()

        await asyncio.gather(*(post(f"gate-{number}") for number in range(30)))
        assert len(running.started.parts.path.publisher) == 1
        assert len(here(running)) == 1


class Broken(dict[str, Any]):
    """Camera policies that raise an error, as a bug in a handler would."""

    def get(self, *_: Any) -> Any:
        raise LookupError("a mistake of ours")


async def test_a_failing_handler_answers_internal_error_and_the_next_frame_is_processed(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(flow__burst="100") as running, camera(running.url) as eye:
        book = running.started.parts.path.book
        sound, book.policies = book.policies, Broken()
        acknowledged = await eye.push({"image": picture(1), "frame_id": 1})
        assert acknowledged == {"status": "error", "reason": "internal_error"}
        assert (await eye.answer(1))[1]["code"] == "internal_error"
        async with wire(running.url) as one:
            assert json.loads((await one.join({"name": "gate"}))[2:])["data"]["code"] == "internal_error"
        book.policies = sound
        await eye.push({"image": picture(2), "frame_id": 2})
        assert (await eye.answer(2))[0] == "detection_results"
    assert "LookupError: a mistake of ours" in caplog.text
