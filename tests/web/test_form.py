"""Multipart forms as simple cameras send them, and endless or malformed ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import BadFrame
from appliance.web.form import MAX_PARTS, OVERHEAD_BYTES, read_form
from tests.conftest import Running
from tests.web.requests import picture

TYPE = "multipart/form-data; boundary=B"
MOST = 200_000
"""Largest frame of the `live` service, bytes."""


def part(name: str, value: bytes, line: bytes = b"\r\n") -> bytes:
    head = b'Content-Disposition: form-data; name="%s"' % name.encode()
    return b"--B" + line + head + line + line + value + line


@pytest.mark.parametrize("line", [b"\r\n", b"\n"], ids=["crlf", "lf"])
def test_fields_are_read_with_any_line_ending(line: bytes) -> None:
    values = {"image": b"\xff\xd8\r\n\n--\r\n--C\r\n", "min_confidence": b"0.4", "nothing": b""}
    body = b"".join(part(name, value, line) for name, value in values.items()) + b"--B--" + line
    assert read_form(body, TYPE) == values


def test_preamble_epilogue_and_spaces_after_a_boundary_are_ignored() -> None:
    body = b"hello\r\n" + part("a", b"1").replace(b"--B\r\n", b"--B \t\r\n") + b"--B--\r\nbye\r\n" + part("b", b"2")
    assert read_form(body, TYPE) == {"a": b"1"}


def test_the_last_boundary_may_be_missing() -> None:
    assert read_form(part("a", b"1") + part("image", b"\xff\xd8")[:-2], TYPE) == {"a": b"1", "image": b"\xff\xd8"}


def test_a_quoted_boundary_and_an_unquoted_name_are_read() -> None:
    body = b"--B C\r\nContent-Disposition: form-data; name=image\r\n\r\nx\r\n--B C--"
    assert read_form(body, 'multipart/form-data; boundary="B C"') == {"image": b"x"}


@pytest.mark.parametrize(
    ("body", "content_type", "hint"),
    [
        (part("a", b""), "multipart/form-data", "boundary"),
        (part("a", b""), "multipart/form-data; boundary=" + "B" * 71, "boundary"),
        (b"nothing", TYPE, "does not occur in the body"),
        (b"--B\r\nContent-Disposition: form-data; name=a\r\n", TYPE, "headers"),
        (b"--B\r\nX: " + b"x" * 9000 + b"\r\n" + part("a", b"")[5:], TYPE, "headers"),
        (b"--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n--B--", TYPE, "name"),
        (b"--B\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\nx\r\n--B--", TYPE, "nested multipart"),
        (b"--B\r\nContent-Transfer-Encoding: base64\r\n" + part("a", b"")[5:], TYPE, "Content-Transfer-Encoding"),
        (part("a", b"") * (MAX_PARTS + 1), TYPE, f"at most {MAX_PARTS}"),
    ],
)
def test_a_malformed_form_gets_an_error(body: bytes, content_type: str, hint: str) -> None:
    with pytest.raises(BadFrame, match=hint) as refused:
        read_form(body, content_type)
    assert refused.value.code == "frame_type"


@given(
    st.lists(
        st.sampled_from(
            [
                b"--B",
                b"--",
                b"B",
                b"\r",
                b"\n",
                b"\r\n",
                b" ",
                b":",
                b"Content-Disposition: form-data;",
                b'name="a"',
                b"name*=",
                b"''%ff",
                b"=?utf-8?b?AA==?=",
                b"\0",
                b"\xff",
                b'"',
                b";",
            ]
        )
    )
)
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_parsed_or_refused(pieces: list[bytes]) -> None:
    for body in (b"".join(pieces), b"--B\r\nContent-Disposition: form-data;" + b"".join(pieces)):
        with contextlib.suppress(BadFrame):
            assert sum(map(len, read_form(body, TYPE).values())) <= len(body)


async def test_a_form_with_lf_only_is_answered(live: Running) -> None:
    body = part("min_confidence", b"0,4", b"\n") + part("image", picture(801), b"\n") + b"--B--\n"
    async with (
        aiohttp.ClientSession(live.url, headers={"Content-Type": TYPE}) as session,
        session.post("/v1/vision/detection", data=body) as answer,
    ):
        assert answer.status == 200, await answer.text()


@pytest.mark.parametrize(("count", "status"), [(MAX_PARTS, 200), (MAX_PARTS + 1, 400)])
async def test_a_form_with_too_many_parts_is_refused(live: Running, count: int, status: int) -> None:
    fields = b"".join(part(f"field{number}", b"x") for number in range(count - 1))
    async with (
        aiohttp.ClientSession(live.url, headers={"Content-Type": TYPE}) as session,
        session.post("/v1/vision/detection", data=fields + part("image", picture(802)) + b"--B--") as answer,
    ):
        assert answer.status == status
        assert (await answer.json())["success"] is (status == 200)


async def test_an_endless_form_is_refused_at_the_size_limit(live: Running) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100 * MOST:
            yield part("x", bytes(5_000))
            sent += 5_000
            await asyncio.sleep(0)

    async with aiohttp.ClientSession(live.url, headers={"Content-Type": TYPE}) as session:
        try:
            async with session.post("/v1/vision/detection", data=endless()) as answer:
                assert answer.status == 413
                body = await answer.json()
                assert body["code"] == "frame_too_large"
                assert "server.max_frame_bytes" in body["error"]
                assert answer.headers["Connection"] == "close"
        except aiohttp.ClientConnectionError:
            pass  # the connection was closed during the upload, so the response is lost
    assert sent < 100 * MOST


async def test_a_form_may_be_slightly_larger_than_its_picture(live: Running) -> None:
    image = picture(803)
    image += bytes(MOST - len(image))
    body = part("note", bytes(OVERHEAD_BYTES - 500)) + part("image", image) + b"--B--"
    async with (
        aiohttp.ClientSession(live.url, headers={"Content-Type": TYPE}) as session,
        session.post("/v1/vision/detection", data=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
