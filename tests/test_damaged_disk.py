"""The service starts and detects objects, however damaged its files are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from appliance.service import loading
from tests.conftest import Running, Serve
from tests.models.bundles import make_bundles
from tests.web.requests import get

Start = Callable[[], AbstractAsyncContextManager[Running]]


def cut(path: Path) -> None:
    data = path.read_bytes() if path.is_file() else b"{"
    replace(path, data[: len(data) // 2])


def replace(path: Path, data: bytes) -> None:
    remove(path)
    path.write_bytes(data)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def folder(path: Path) -> None:
    remove(path)
    (path / "deep").mkdir(parents=True)


def pipe(path: Path) -> None:
    remove(path)
    os.mkfifo(path)


def link(to: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        remove(path)
        path.symlink_to(to)

    return make


DAMAGES: dict[str, Callable[[Path], None]] = {
    "gone": remove,
    "empty": lambda path: replace(path, b""),
    "zero bytes": lambda path: replace(path, bytes(70_000)),
    "not UTF-8": lambda path: replace(path, b"\xff\xfe\xed\xa0\x80" * 2000),
    "nested": lambda path: replace(path, b"[" * 100_000),
    "another type": lambda path: replace(path, b'{"name": 3, "configured": [], "former": "x", "rungs": null}'),
    "cut": cut,
    "folder": folder,
    "pipe": pipe,
    "endless": link("/dev/zero"),
    "loop": link("loop"),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without stop signs, for which the self-test only requires that inference runs."""
    return make_bundles(tmp_path_factory.mktemp("device") / "models", "colours")


@pytest.fixture
def start(serve: Serve, models: Path, tmp_path: Path) -> Start:
    """Start the service with its own files."""
    shutil.copytree(models, tmp_path / "models")
    return lambda: serve(
        load=loading.load_to_serve, wait_ready=True, model__dir=str(tmp_path / "models"), model__name="colours",
        state__history="true", state__dir=str(tmp_path / "state"),
    )  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_the_service_detects_objects_with_damaged_files(
    start: Start, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    async with start() as running:
        await assert_healthy(running)
    models, state = tmp_path / "models", tmp_path / "state"
    compiled = [*(models / ".compiled").glob("*.blob"), *(models / ".compiled").glob("*.sha256")]
    assert compiled
    for path in (state / "history", state / "lock", models / "profile-colours.json", models / "active.json", *compiled):
        damage(path)
    async with start() as running:
        await assert_healthy(running)


@pytest.mark.parametrize("damage", [folder, pipe, link("loop")], ids=["folder", "pipe", "loop"])
async def test_the_service_detects_objects_without_its_folders(
    start: Start, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    for path in (tmp_path / "models/.compiled", tmp_path / "state"):
        damage(path)
    async with start() as running:
        await assert_healthy(running)


async def assert_healthy(running: Running) -> None:
    status, report = await get(running.url, "/health")
    assert (status, report["model_loaded"]) == (200, True)
    codes = {finding["code"] for finding in report["findings"]}
    assert not codes & {"canary_failed", "model_missing", "engine_failing"}
