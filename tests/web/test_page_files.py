"""The page's files: small, kept by browsers while they do not change, and from this device only."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request

from appliance.web import page_files
from appliance.web.page_files import PAGE
from tests.web.page_rig import MadeUp, serving

WEIGHT_BYTES = 120_000


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(MadeUp()) as url, aiohttp.ClientSession(url, auto_decompress=False) as opened:
        yield opened


def test_the_page_is_light() -> None:
    files = page_files.read().files
    assert sum(len(file.packed) for file in files.values()) < WEIGHT_BYTES


def test_the_page_names_no_other_host() -> None:
    for part in PAGE.iterdir():
        assert not re.search(r"""(?:src|href|url\()\s*=?\s*["']?https?://""", part.read_text(encoding="utf-8")), part


async def test_a_file_of_the_page_is_kept_forever(session: aiohttp.ClientSession) -> None:
    digest = page_files.read().digest
    async with session.get(f"/page/{digest}/page.js", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.status == 200
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.content_type == "text/javascript"
    async with session.get("/page/0123456789abcdef/page.js") as answer:
        assert answer.headers["Cache-Control"] == "no-cache", "the file of another release"


@pytest.mark.parametrize("path", ["/", "/health", "/sw.js"])
async def test_the_page_itself_is_asked_for_and_not_sent_again(session: aiohttp.ClientSession, path: str) -> None:
    html = {"Accept": "text/html", "Accept-Encoding": "identity"}
    async with session.get(path, headers=html) as answer:
        assert answer.headers["Cache-Control"] == "no-cache"
        assert "Content-Encoding" not in answer.headers
        tag = answer.headers["ETag"]
    async with session.get(path, headers=html | {"If-None-Match": tag}) as answer:
        assert answer.status == 304
        assert await answer.read() == b""


async def test_the_page_names_every_module_once(session: aiohttp.ClientSession) -> None:
    async with session.get("/", headers={"Accept-Encoding": "identity"}) as answer:
        text = await answer.text()
    for module in PAGE.glob("*.js"):
        assert text.count(f'/{module.name}"') == (module.name != "sw.js"), module.name
    assert "DIGEST/" not in text


def test_another_release_has_other_addresses(tmp_path: Path) -> None:
    folder = tmp_path / "page"
    shutil.copytree(PAGE, folder)
    before = page_files.read(folder)
    (folder / "page.css").write_text("body { color: red }", encoding="utf-8")
    after = page_files.read(folder)
    assert before.digest != after.digest
    assert after.digest.encode() in after.files["sw.js"].plain, "the service worker keeps the new files"


async def test_files_that_could_not_be_read_are_read_again(tmp_path: Path) -> None:
    page, request = page_files.Page(tmp_path / "page"), make_mocked_request("GET", "/")
    with pytest.raises(OSError, match="page"):
        await page.index(request)
    shutil.copytree(PAGE, tmp_path / "page")
    assert (await page.index(request)).status == 200
