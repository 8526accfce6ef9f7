"""Attacks on Socket.IO, Engine.IO and WebSocket."""

from __future__ import annotations

import asyncio
import itertools

from tests.attack.pictures import camera_picture
from tests.attack.table import attack
from tests.attack.wire import POLLING, SOCKETS, Target, Vulnerable, event, frame, picture_event, text

_numbers = itertools.count()


@attack("reserved event: connect after a frame", quick=True)
async def connect_after_a_frame(target: Target) -> None:
    async with target.joined() as wire:
        await wire.send(picture_event(camera_picture()))
        await asyncio.sleep(0.3)
        await wire.send(event("connect", {}))
        await wire.send(event("connect", {}, {"name": "other"}))
        await asyncio.sleep(0.3)


@attack("reserved event: 100,000 names on one socket", quick=True)
async def many_names(target: Target) -> None:
    async with target.joined() as wire:
        for start in range(0, 100_000, 100):
            names = range(start, start + 100)
            await wire.send(b"".join(event("connect", {}, {"name": f"n{number}"}) for number in names))
        await asyncio.sleep(1)


@attack("reserved event: disconnect", at_once=2)
async def disconnect_event(target: Target) -> None:
    async with target.joined(f"leaver{next(_numbers)}") as wire:
        await wire.send(event("disconnect", "bye\n\x1b[31m<2>forged: root logged in\x1b[0m\r\nCRITICAL forged") * 20)
        await wire.send(picture_event(camera_picture()))
        await asyncio.sleep(0.2)


@attack("names: a new camera for each of many connections", at_once=8, addresses=8)
async def new_names(target: Target) -> None:
    async with target.joined(f"name{next(_numbers)}"):
        await asyncio.sleep(0.05)


@attack("60 WebSockets with an unfinished 29 MB message", at_once=60, addresses=20, quick=True)
async def unfinished_messages(target: Target) -> None:
    async with target.websocket() as wire:
        await wire.send(frame(b"", 2, length=29_000_000))
        for _ in range(27):
            await wire.send(bytes(1 << 20))
        await wire.until_closed()


@attack("60 joined WebSockets with an unfinished 29 MB message", at_once=60, addresses=20)
async def unfinished_messages_joined(target: Target) -> None:
    async with target.joined() as wire:
        await wire.send(frame(b"", 2, length=29_000_000))
        for _ in range(27):
            await wire.send(bytes(1 << 20))
        await wire.until_closed()


@attack("WebSocket fragments of one byte", at_once=2, quick=True)
async def tiny_fragments(target: Target) -> None:
    async with target.joined() as wire:
        await wire.send(frame(b"4", last=False))
        for _ in range(2000):
            await wire.send(frame(b"2", 0, last=False) * 500)


@attack("ping flood: WebSocket control frames", at_once=2, quick=True)
async def control_frames(target: Target) -> None:
    async with target.websocket() as wire:
        for _ in range(1000):
            await wire.send(frame(b"x" * 100, 9) * 100)


@attack("ping flood: Engine.IO packets", at_once=2, quick=True)
async def engine_pings(target: Target) -> None:
    async with target.joined() as wire:
        for _ in range(1000):
            await wire.send((text("2probe") + text("3")) * 100)


@attack("event flood: unknown and unauthorized events", at_once=2)
async def unknown_events(target: Target) -> None:
    async with target.joined() as wire:
        for _ in range(200):
            await wire.send((event("nothing", 1) + event("subscribe", {"cameras": 7}) + text('4299["subscribe"]')) * 50)


@attack("malformed Socket.IO and Engine.IO packets", at_once=2, quick=True)
async def malformed_packets(target: Target) -> None:
    for packet in (
        "", "9", "4", "49", "4x", "42", "42[", "42{}", "42[1]", '42["connect"', '42[["a"]]', "45", "451-", "45-1-[]",
        "4599999999999-[]", '42/x,["a"]', "42" + "9" * 200 + '["a"]', "40/nowhere,", "40{", "40[]", "41", "44", "43[]",
        "4" + "2" * 5000, "b", "bAAAA", "1", "6", "5", "42[" + "1e999," * 50 + "1]", '42["process_frame",NaN]',
        '42["process_frame","\\ud800"]', "\x00", "45" + "1" * 90 + '-["process_frame"]',
    ):  # fmt: skip
        async with target.joined() as wire:
            await wire.send(text(packet) * 3)
            await asyncio.sleep(0.01)


@attack("malformed WebSocket frames", at_once=2)
async def malformed_frames(target: Target) -> None:
    for data in (
        frame(b"\xff\xfe\xfd"), frame(b"x", 3), frame(b"x", 11), frame(b"", 8, length=60_000), frame(b"x" * 130, 9),
        frame(b"\x00", 8), frame(b"x", 0), b"\xf1\x80" + bytes(4), b"\x81\x05hello", frame(b"", length=1 << 62),
        frame(b"", length=(1 << 64) - 1),
    ):  # fmt: skip
        async with target.joined() as wire:
            await wire.send(data)
            await asyncio.wait_for(wire.until_closed(), 0.2)


@attack("JSON nested 100,000 deep", at_once=2, quick=True)
async def deep_json(target: Target) -> None:
    async with target.joined() as wire:
        await wire.send(text('42["process_frame",' + "[" * 100_000 + "]" * 100_000 + "]"))
        await wire.send(text('42["process_frame",' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "]"))
        await asyncio.sleep(0.2)


@attack("huge numbers: acknowledgement ids, integers of a megabyte", at_once=2, quick=True)
async def huge_numbers(target: Target) -> None:
    for packet in ("42" + "9" * 1_000_000 + '["a"]', '42["process_frame",' + "9" * 1_000_000 + "]",
                   '42["process_frame",{"image":"x","frame_id":' + "1" * 4000 + "}]"):  # fmt: skip
        async with target.joined() as wire:
            await wire.send(text(packet))
            await asyncio.sleep(0.1)


@attack("1,000,000,000 attachments announced, few sent", at_once=4, quick=True)
async def missing_attachments(target: Target) -> None:
    async with target.joined() as wire:
        await wire.send(text('451000000000-["process_frame",{"_placeholder":true,"num":999999999}]'))
        for _ in range(30):
            await wire.send(frame(bytes(1_000_000), 2))
        await asyncio.wait_for(wire.until_closed(), 5)


@attack("placeholders: one attachment referred to 100,000 times", at_once=2)
async def many_placeholders(target: Target) -> None:
    async with target.joined() as wire:
        many = ",".join(['{"_placeholder":true,"num":0}'] * 100_000)
        await wire.send(text(f'451-["process_frame",[{many}]]') + frame(bytes(100_000), 2))
        await wire.send(text('451-["process_frame",{"_placeholder":true,"num":-7}]') + frame(b"x", 2))
        await wire.send(text('451-["process_frame",{"_placeholder":true,"num":"a"}]') + frame(b"x", 2))
        await asyncio.sleep(0.5)


@attack("namespaces: 50,000 of them on a socket", at_once=2, quick=True)
async def namespaces(target: Target) -> None:
    async with target.joined() as wire:
        for start in range(0, 50_000, 100):
            await wire.send(b"".join(text(f"40/{number},") for number in range(start, start + 100)))
        await asyncio.sleep(0.5)


@attack("Socket.IO joined twice, left twice, joined again", at_once=2)
async def joined_twice(target: Target) -> None:
    async with target.joined() as wire:
        for packet in ('40{"name":"twice"}', "40", "41", "41", '40{"name":"twice"}', '42["process_frame","x"]', "41"):
            await wire.send(text(packet) * 20)
        await asyncio.sleep(0.1)


@attack("unused polling handshakes", at_once=8, quick=True)
async def unused_handshakes(target: Target) -> None:
    await target.handshake()


@attack("polling: many GETs on one session, POSTs to none", at_once=4)
async def polling_confusion(target: Target) -> None:
    sid = await target.handshake()
    path = f"{POLLING}&sid={sid}"
    await target.ask("POST", path, b"40")
    waiting = [target.ask("GET", path) for _ in range(5)]
    await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 3)
    for body in (b"", b"\x1e" * 5000, b"4", b"42[", b"b", "4ü".encode() * 500, b"\xff\xfe", b"42[1]\x1e" * 300):
        await target.ask("POST", path, body)
    await target.ask("POST", f"{POLLING}&sid=none", b"40")


@attack("polling: bodies of 9 MB in one byte packets", at_once=2)
async def polling_packets(target: Target) -> None:
    sid = await target.handshake()
    await target.ask("POST", f"{POLLING}&sid={sid}", b"6\x1e" * 4_500_000)


@attack("upgrade in the middle of polling, two WebSockets a session", at_once=4)
async def upgrade_twice(target: Target) -> None:
    sid = await target.handshake()
    path = f"{SOCKETS}&sid={sid}"
    async with target.websocket(path) as first, target.websocket(path) as second:
        for wire in (first, second):
            await wire.send(text("2probe") + text("5") + text("40"))
        await asyncio.sleep(0.1)
        await target.ask("POST", f"{POLLING}&sid={sid}", b"40")


@attack("slow readers that subscribe to everything", at_once=40, addresses=10, quick=True)
async def slow_readers(target: Target) -> None:
    async with target.joined() as wire:
        await wire.send(event("subscribe", {"cameras": "*"}))
        await asyncio.sleep(600)


@attack("requests for acknowledgements that are never read", at_once=4)
async def unread_acknowledgements(target: Target) -> None:
    async with target.joined() as wire:
        for number in range(2000):
            await wire.send(text(f'42{number}["subscribe",{{"cameras":["a"]}}]') * 50)


@attack("token guesses", at_once=4, quick=True)
async def token_guesses(target: Target) -> None:
    async with target.websocket() as wire:
        await wire.message()
        await wire.send(text('40{"name":"guarded","token":"' + f"guess{next(_numbers)}" + '"}'))
        answer = await asyncio.wait_for(wire.message(), 5)
        if answer.startswith(b"40"):
            raise Vulnerable("a wrong token is accepted")


@attack("forged log lines in names, reasons, frame ids and paths", at_once=2, quick=True)
async def forged_lines(target: Target) -> None:
    forged = "x\n<2>2026-01-01 CRITICAL forged line\r\n\x1b[2J\u2028forged"
    async with target.joined() as wire:
        await wire.send(event("process_frame", {"image": forged, "frame_id": forged[:100]}))
        await wire.send(event("process_frame", {forged: 1, "image": "x"}))
        await wire.send(event("process_frame", {"image": "data:" + forged + ",x"}))
        await wire.send(event(forged, forged))
        await asyncio.sleep(0.05)
    async with target.websocket() as wire:
        await wire.send(text('40{"name":"' + "x\\n<2>forged\\u001b[31m" + '"}'))
        await asyncio.sleep(0.05)
