"""Building an engine: a stand-in serves, the build runs in its own process, and cameras notice no gap."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from appliance.errors import EngineError, ModelError, NotBuilt
from appliance.flow.activation import BUSY, MEMORY_SHORT
from appliance.flow.inference import Inference
from appliance.flow.rebuild import Rebuild, StandInReason
from appliance.service import loading
from tests.conftest import Serve
from tests.engines.nvidia.environment import environment
from tests.engines.nvidia.jetson import Jetson
from tests.fakes import FakeEngine, fake_network
from tests.flow.detectors import Rig, running
from tests.models.bundles import make_bundles

NOT_FIXABLE = "the device cannot fix this by itself"


def python(program: str) -> tuple[str, ...]:
    return sys.executable, "-c", program


def stand_in(rig: Rig, build: tuple[str, ...] | None, name: str = "gate", marker: Path | None = None) -> Inference:
    lacks = NotBuilt(f"TensorRT cannot run {name} yet", build, marker)
    return Inference(replace(fake_network(FakeEngine(), name), lacks=lacks), clock=rig.clock)


class Rebuilds:
    """A Rebuild on a rig that records activations. `error`: raised by each activation. `loads`: creates the network."""

    def __init__(
        self,
        rig: Rig,
        build: tuple[str, ...] | None,
        error: Exception | None = None,
        loads: Callable[[str], Inference] | None = None,
    ) -> None:
        self.rig, self.error = rig, error
        self._loads = loads or (lambda name: Inference(fake_network(FakeEngine(), name), clock=rig.clock))
        self.activated: list[str] = []
        rig.detector.in_use.inference = stand_in(rig, build)
        self.rebuild = Rebuild(detector=rig.detector, activate=self._activate, again_s=0.001)

    async def _activate(self, name: str, *, chosen: bool) -> None:
        assert not chosen
        self.activated.append(name)
        if self.error is not None:
            raise self.error
        self.rig.detector.swap(self._loads(name))
        self.rebuild.network_swapped()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self.rebuild.run)
            await self.rig.until(condition)
            group.cancel_scope.cancel()


async def test_a_missing_engine_is_built_and_activated(tmp_path: Path) -> None:
    async with running(Rig()) as rig:
        rebuilds = Rebuilds(rig, python(f"open({str(tmp_path / 'built')!r}, 'w')"))
        assert "TensorRT cannot run gate yet" in str(rebuilds.rebuild.stand_in)
        await rebuilds.until(lambda: rebuilds.activated == ["gate"])
        assert (tmp_path / "built").exists()
        assert (rebuilds.rebuild.stand_in, rebuilds.rebuild.problem) == (None, None)


@pytest.mark.parametrize(
    ("build", "error", "why"),
    [
        (python("raise SystemExit('no such layer')"), None, "the build failed: no such layer"),
        (python("import sys; sys.exit(3)"), None, "the build failed: exit status 3"),
        (
            python("import os; os.kill(os.getpid(), 9)"),
            None,
            "the build failed: killed by the system: not enough memory",
        ),
        (
            ("/nowhere/to/be/found",),
            None,
            "the build failed: cannot start /nowhere/to/be/found: No such file or directory",
        ),
        (None, None, NOT_FIXABLE),
        (python(""), ModelError("the self-test failed: no stop sign"), "the self-test failed: no stop sign"),
        (python(""), EngineError("out of memory"), "out of memory"),
        (
            python(""),
            ModelError("stop the service, activate, and start it again", MEMORY_SHORT),
            "not enough memory to load it next to the current engine",
        ),
    ],
)
async def test_after_a_failure_the_stand_in_stays_and_the_reason_is_reported(
    build: tuple[str, ...] | None, error: Exception | None, why: str
) -> None:
    async with running(Rig()) as rig:
        rebuilds = Rebuilds(rig, build, error)
        await rebuilds.until(lambda: rebuilds.rebuild.problem is not None)
        assert rebuilds.rebuild.problem == StandInReason(why, built=error is not None)
        assert rebuilds.rebuild.stand_in == "TensorRT cannot run gate yet"
        assert rebuilds.activated == (["gate"] if error else [])


async def test_a_concurrent_activation_is_waited_for() -> None:
    async with running(Rig()) as rig:
        rebuilds = Rebuilds(rig, python(""), ModelError("another model is being activated", BUSY))

        async def change() -> None:
            await rig.until(lambda: len(rebuilds.activated) > 3)
            assert rebuilds.rebuild.problem is None
            rebuilds.error = None

        task = asyncio.create_task(change())
        await rebuilds.until(lambda: rebuilds.rebuild.stand_in is None)
        await task


async def test_the_built_engine_is_not_activated_after_another_model_was() -> None:
    async with running(Rig()) as rig:
        rebuilds = Rebuilds(rig, python(""), ModelError("another model is being activated", BUSY))

        async def change() -> None:
            await rig.until(lambda: bool(rebuilds.activated))
            rig.detector.swap(stand_in(rig, None, "yard"))
            rebuilds.rebuild.network_swapped()
            rebuilds.error = None

        task = asyncio.create_task(change())
        await rebuilds.until(lambda: rebuilds.rebuild.problem == StandInReason(NOT_FIXABLE))
        await task
        assert rig.detector.network is not None
        assert rig.detector.network.info.name == "yard"


async def test_a_built_engine_that_does_not_load_is_reported() -> None:
    build = python("")
    async with running(Rig()) as rig:
        rebuilds = Rebuilds(rig, build, loads=lambda name: stand_in(rig, build, name))
        await rebuilds.until(lambda: rebuilds.rebuild.problem == StandInReason("the built engine does not load"))
    assert rebuilds.activated == ["gate"]


async def test_a_different_model_with_the_same_name_is_built_too(tmp_path: Path) -> None:
    """Its digest differs, and so does its build command."""
    async with running(Rig()) as rig:
        rebuilds = Rebuilds(rig, python("raise SystemExit('no such layer')"))

        async def change() -> None:
            await rig.until(lambda: rebuilds.rebuild.problem is not None)
            rig.detector.swap(stand_in(rig, python("'of another network'")))
            rebuilds.rebuild.network_swapped()

        task = asyncio.create_task(change())
        await rebuilds.until(lambda: rebuilds.activated == ["gate"])
        await task
        assert (rebuilds.rebuild.stand_in, rebuilds.rebuild.problem) == (None, None)


async def test_each_missing_engine_is_built_once(tmp_path: Path) -> None:
    """A build that did not help is not repeated, whatever is activated in between."""
    log = tmp_path / "log"

    def note(name: str) -> tuple[str, ...]:
        return python(f"open({str(log)!r}, 'a').write({name!r})")

    async with running(Rig()) as rig:
        rebuilds = Rebuilds(rig, note("gate"), EngineError("no"))

        async def change() -> None:
            for name in ("gate", "yard", "gate", "yard"):
                before = len(rebuilds.activated)
                rig.detector.swap(stand_in(rig, note(name), name))
                rebuilds.rebuild.network_swapped()
                await rig.until(lambda: not rebuilds.rebuild._swapped.is_set())  # it has checked the network
                if name not in rebuilds.activated:
                    await rig.until(lambda: len(rebuilds.activated) > before)  # noqa: B023
            rig.detector.swap(stand_in(rig, None, "door"))
            rebuilds.rebuild.network_swapped()

        task = asyncio.create_task(change())
        await rebuilds.until(lambda: rebuilds.rebuild.problem == StandInReason(NOT_FIXABLE))
        await task
    assert rebuilds.activated == ["gate", "yard"]
    assert log.read_text() == "gateyard"


async def test_a_model_replaced_during_its_build_is_not_activated(tmp_path: Path) -> None:
    go, began = tmp_path / "go", tmp_path / "began"
    wait = python(
        f"import os, time\nopen({str(began)!r}, 'w')\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)"
    )
    async with running(Rig()) as rig:
        rebuilds = Rebuilds(rig, wait)

        async def change() -> None:
            await rig.until(began.exists)
            rig.detector.swap(stand_in(rig, None, "yard"))
            rebuilds.rebuild.network_swapped()
            go.touch()

        task = asyncio.create_task(change())
        await rebuilds.until(lambda: rebuilds.rebuild.problem == StandInReason(NOT_FIXABLE))
        await task
        assert rebuilds.activated == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_build_that_fails_alone_leaves_no_marker(tmp_path: Path, number: int) -> None:
    """SIGTERM: on a stop, systemd signals the builder and the service at the same time."""
    marker = tmp_path / "marker"
    crash = python(f"import os\nopen({str(marker)!r}, 'w')\nos.kill(os.getpid(), {number:d})")
    async with running(Rig()) as rig:
        rebuilds = Rebuilds(rig, crash)
        rig.detector.in_use.inference = stand_in(rig, crash, marker=marker)
        await rebuilds.until(lambda: rebuilds.rebuild.problem is not None)
    assert not marker.exists()


async def test_stopping_the_service_during_a_build_removes_the_marker(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    endless = python(f"import time\nopen({str(marker)!r}, 'w').write('1')\ntime.sleep(600)")
    async with running(Rig()) as rig:
        rebuilds = Rebuilds(rig, endless)
        rig.detector.in_use.inference = stand_in(rig, endless, marker=marker)
        await rebuilds.until(marker.exists)  # `until` then cancels the build
    assert not marker.exists()


async def test_a_jetson_starts_on_its_cpu_and_switches_to_tensorrt_once_built(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole service, with simulated NVIDIA libraries (tests/engines/nvidia)."""
    jetson = Jetson(monkeypatch)
    monkeypatch.setenv("PYTHONPATH", environment(tmp_path / "vendor", "10.3.0")["PYTHONPATH"])
    make_bundles(tmp_path / "models", "gate", keep_onnx=True)
    flags = {"model.dir": str(tmp_path / "models"), "model.name": "gate", "engine.kind": "tensorrt"}
    async with serve(load=loading.load_to_serve, **flags) as running_:
        engine = running_.report()["engine"]
        assert engine["engine"] == "openvino"
        (finding,) = [one for one in running_.started.parts.vitals.findings() if one.code == "engine_stand_in"]
        assert "TensorRT cannot run gate yet: no engine was built for this device." in finding.what
        with anyio.fail_after(60):
            while running_.report()["engine"]["engine"] != "tensorrt":
                await anyio.sleep(0.02)
        assert "engine_stand_in" not in [one.code for one in running_.started.parts.vitals.findings()]
        assert running_.report()["engine"]["device"] == "GPU Orin"
    async with serve(load=loading.load_to_serve, **flags) as running_:
        assert running_.report()["engine"]["engine"] == "tensorrt"
    jetson.gpu.check_all_is_free()
