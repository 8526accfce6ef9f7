"""Frames that come too early, refused before they are unpacked: every one is answered, and nothing else is touched."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.web.early_frames import EarlyFrames
from tests.conftest import Serve
from tests.web.requests import picture
from tests.web.wire import Wire, wire

PLACEHOLDER = '{"_placeholder":true,"num":0}'
ANNOUNCED = f'451-["process_frame",{{"image":{PLACEHOLDER},"frame_id":7}}]'
TEXT = '42["process_frame",{"image":"aGk=","frame_id":7}]'
SLOW = {"flow__min_interval_s": "50", "flow__burst": "1"}


class Early:
    """A camera whose frames are all early, or none."""

    def __init__(self, early: bool = True) -> None:
        self.early = early
        self.refused: list[Any] = []

    def is_early(self) -> bool:
        return self.early

    def refuse(self, payload: Any) -> bool:
        if self.early:
            self.refused.append(payload)
        return self.early


def passed(frames: EarlyFrames, *messages: str | bytes) -> list[str | bytes]:
    """What is passed on of these messages."""
    for message in messages:
        frames.put(message)
    return list(iter(frames.take, None))


@pytest.mark.parametrize("messages", [(ANNOUNCED, b"picture"), (TEXT,)])
def test_an_early_frame_is_refused_with_its_payload_and_not_passed_on(messages: tuple[str | bytes, ...]) -> None:
    early = Early()
    assert passed(EarlyFrames(early), *messages) == []
    assert [payload["frame_id"] for payload in early.refused] == [7]


@pytest.mark.parametrize(
    "messages",
    [
        ("3",),
        ('421["process_frame","aGk="]',),
        (ANNOUNCED.replace("1-", "1-5"), b"picture"),
        ('42["subscribe",{"cameras":"*"}]',),
        ('42["process_frame","aGk=",{}]',),
        ('42["process_frame",{"image":5}]',),
        ('42["process_frame",',),
        ('42["process_frame",' + "[" * 100_000,),
        (ANNOUNCED.replace('"num":0', '"num":1'), b"picture"),
        (ANNOUNCED, "3", b"picture"),
        (ANNOUNCED, ANNOUNCED),
        (ANNOUNCED.replace("7", "7" + " " * 5000), b"picture"),
        ('42["process_frame",{' + ",".join(f'"{n}":1' for n in range(99)) + ',"image":"aGk="}]',),
        (b"picture",),
    ],
)
def test_everything_but_a_plain_frame_goes_the_long_way(messages: tuple[str | bytes, ...]) -> None:
    early = Early()
    assert passed(EarlyFrames(early), *messages) == list(messages)
    assert early.refused == []


@given(st.lists(st.one_of(st.sampled_from([ANNOUNCED, TEXT, "3", b"picture"]), st.text(), st.binary())))
def test_messages_of_a_camera_that_is_not_early_are_passed_on_in_order(messages: list[str | bytes]) -> None:
    assert passed(EarlyFrames(Early(False)), *messages) == messages


def test_a_frame_that_is_in_time_when_its_picture_arrives_is_passed_on() -> None:
    early = Early()
    frames = EarlyFrames(early)
    assert passed(frames, ANNOUNCED) == []
    early.early = False
    assert passed(frames, b"picture") == [ANNOUNCED, b"picture"]


async def skipped(opened: Wire, frame_id: int) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads((await opened.next('42["frame_skipped"'))[2:])[1]
    assert payload["frame_id"] == frame_id
    return payload


async def test_an_early_frame_with_invalid_options_is_skipped_like_any_other(serve: Serve) -> None:
    async with serve(**SLOW) as running, wire(running.url) as opened:
        await opened.join({"name": "gate"})
        await opened.send(ANNOUNCED)
        await opened.send(picture(1))
        for number, option in enumerate((f'"captured_at":1{"0" * 400}', '"captured_at":[]', '"min_confidence":{}')):
            await opened.send(TEXT.replace("7", f"{number},{option}"))
            assert (await skipped(opened, number))["reason"] == "rate_limited"


async def test_every_frame_of_a_flooding_camera_is_answered_and_counted(serve: Serve) -> None:
    async with serve(**SLOW) as running, wire(running.url) as opened:
        await opened.join({"name": "gate"})
        data = picture(1)
        for number in range(40):
            if number % 2:
                text = base64.b64encode(data).decode()
                await opened.send(f'42["process_frame",{{"image":"{text}","frame_id":{number}}}]')
            else:
                await opened.send(ANNOUNCED.replace("7", str(number)))
                await opened.send(data)
            if number:
                answer = await skipped(opened, number)
                assert answer["reason"] == "rate_limited"
                assert 40 < answer["retry_after"] <= 50
        assert (await opened.call(1, ["process_frame", {"image": "aGk=", "frame_id": "last"}]))["status"] == "skipped"
        stats = running.report()["cameras"]["gate"]
        assert stats["received"] == 41
        assert stats["skipped"]["rate_limited"] == 40
