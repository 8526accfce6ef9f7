"""The cache of compiled networks: kept, verified, bounded, and never required."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from appliance.engines import registry
from appliance.engines.compiled_files import CompiledFiles
from appliance.engines.openvino import OpenVINOEngine
from appliance.values import Size
from tests.engines.openvino_start import start
from tests.models import networks


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return networks.save_ir(networks.colours(), tmp_path / "model.xml")


def test_a_compiled_network_is_kept_for_the_next_start(network: Path, tmp_path: Path) -> None:
    cache = tmp_path / "deep" / "compiled"
    assert start(network, cache=cache)
    (kept,) = cache.glob("*.blob")
    before = kept.stat().st_mtime_ns
    assert not start(network, cache=cache)
    assert [file.stat().st_mtime_ns for file in cache.glob("*.blob")] == [before]


@pytest.mark.parametrize("content", [b"", b"half", None])
def test_a_damaged_cache_costs_one_compilation(network: Path, tmp_path: Path, content: bytes | None) -> None:
    start(network, cache=tmp_path / "compiled")
    (kept,) = (tmp_path / "compiled").glob("*.blob")
    kept.chmod(0o600)
    kept.write_bytes(kept.read_bytes()[:-100] if content is None else content)
    assert start(network, cache=tmp_path / "compiled")


def test_a_newer_version_compiles_for_the_sizes_that_an_older_one_was_used_with(network: Path, tmp_path: Path) -> None:
    cache = tmp_path / "compiled"
    older = OpenVINOEngine(network, cache=cache)
    for size in (Size(32, 32), Size(64, 32), None):
        older.prepare(size)
    older.close()
    for kept in cache.glob("*.blob"):
        kept.rename(kept.with_stem(f"{kept.stem}-older"))  # a newer version of OpenVINO names them in another way
        checksum = kept.with_name(f"{kept.name}.sha256")
        checksum.rename(kept.with_name(f"{kept.stem}-older.blob.sha256"))
    newer = OpenVINOEngine(network, cache=cache)
    assert newer.prepare_as_before() == 3
    assert set(newer.ready()) == {Size(32, 32), Size(64, 32), None}
    newer.close()
    assert len(list(cache.glob("*.blob"))) == 6
    started = OpenVINOEngine(network, cache=cache)
    assert not started.prepare(Size(64, 32))
    started.close()
    without = OpenVINOEngine(network)
    assert without.prepare_as_before() == 0
    without.close()


def test_the_cache_is_bounded(network: Path, tmp_path: Path) -> None:
    engine = registry.create("openvino", network, cache=tmp_path)
    for number in range(1, 21):
        engine.prepare(Size(32 * number, 32))
    assert len(list(tmp_path.glob("*.blob"))) == 16
    engine.close()


def test_without_a_writable_folder_every_start_compiles(network: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for _ in range(2):
        assert start(network, cache=tmp_path / "file" / "compiled")


def damage(kept: Path, how: str) -> None:
    kept.chmod(0o600)
    data = bytearray(kept.read_bytes())
    middle = len(data) // 2
    if how == "zeros":
        data[middle : middle + 64] = bytes(64)
    elif how == "a bit":
        data[middle] ^= 4
    elif how == "cut":
        del data[middle:]
    elif how == "nothing":
        data.clear()
    kept.write_bytes(data)
    if how == "a folder":
        kept.unlink()
        (kept / "deep").mkdir(parents=True)
    elif how == "a link":
        kept.rename(kept.with_suffix(".elsewhere"))
        kept.symlink_to(kept.with_suffix(".elsewhere"))


@pytest.mark.parametrize("how", ["zeros", "a bit", "cut", "nothing", "a folder", "a link"])
def test_a_damaged_file_in_the_cache_is_compiled_again(
    network: Path, tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "compiled"
    start(network, cache=cache)
    (kept,) = cache.glob("*.blob")
    damage(kept, how)
    assert start(network, cache=cache)
    assert "is damaged (sha256 mismatch): removed it and compiling again" in caplog.text
    assert not start(network, cache=cache)


@pytest.mark.parametrize("content", [None, b"", b"\0" * 80, b"\xff" * 80, b"12  model/model.xml 32x32\n"])
def test_a_file_without_its_checksum_is_compiled_again(network: Path, tmp_path: Path, content: bytes | None) -> None:
    cache = tmp_path / "compiled"
    start(network, cache=cache)
    (checksum,) = cache.glob("*.blob.sha256")
    checksum.unlink() if content is None else checksum.write_bytes(content)
    assert start(network, cache=cache)
    assert not start(network, cache=cache)


def test_a_size_that_is_loaded_later_is_verified_too(network: Path, tmp_path: Path) -> None:
    sizes = Size(32, 32), Size(64, 32), None
    engine = registry.create("openvino", network, cache=tmp_path)
    assert [engine.prepare(size) for size in sizes] == [True] * 3
    engine.close()
    (of_64,) = [path for path in tmp_path.glob("*.sha256") if "64x32" in path.read_text()]
    damage(of_64.with_suffix(""), "a bit")
    engine = registry.create("openvino", network, cache=tmp_path)
    assert [engine.prepare(size) for size in sizes] == [False, True, False]
    engine.close()


def test_two_compilations_at_the_same_time_do_not_disturb_each_other(network: Path, tmp_path: Path) -> None:
    with CompiledFiles(tmp_path).open("a compilation"):
        with CompiledFiles(tmp_path, max_wait_s=0).open("one that cannot wait") as folder:
            assert folder is None
        waiting = threading.Thread(target=start, args=(network,), kwargs={"cache": tmp_path})
        waiting.start()
        waiting.join(0.2)
        assert list(tmp_path.glob("*.blob")) == []
    waiting.join(20)
    assert not waiting.is_alive()
    assert not start(network, cache=tmp_path)


@pytest.mark.parametrize("name", ["lock", "."])
def test_an_unusable_folder_costs_a_compilation_at_every_start(
    network: Path, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "compiled"
    if name == ".":
        cache.write_bytes(b"")
    else:
        (cache / name).mkdir(parents=True)
    assert start(network, cache=cache)
    assert "cannot keep compiled networks in" in caplog.text


def test_a_cleared_cache_is_compiled_from_scratch(network: Path, tmp_path: Path) -> None:
    start(network, cache=tmp_path)
    (tmp_path / "another.engine").write_bytes(b"")
    CompiledFiles(tmp_path).clear()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["another.engine", "lock"] + (
        [network.with_suffix(".bin").name, network.name] if network.parent == tmp_path else []
    )
    assert start(network, cache=tmp_path)
