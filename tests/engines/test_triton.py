"""The engine kserve against NVIDIA's Triton Inference Server. `make triton-test` installs it and runs these tests."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import anyio.to_thread
import numpy as np
import pytest

from appliance.engines import registry
from appliance.ports import Engine
from appliance.service import loading
from appliance.testing.colours import colours
from appliance.testing.engines import EngineContract
from appliance.values import Size
from appliance.vision import decode, scene
from tests.conftest import Running, Serve
from tests.evaluation.coco import DATA
from tests.web.camera import Camera, camera

pytest.importorskip("grpc", reason="NOT TESTED: the extra `kserve` is not installed")

from tests.engines.triton_server import Offer, TritonServer, needs_triton, triton  # needs grpc

pytestmark = needs_triton

CODE = "engine_server_away"
TIMEOUT_S = 3.0
MODEL = "yolo11n"
PHOTOGRAPHS = sorted((DATA / "coco64/images").glob("*.jpg"))[:16]


@pytest.fixture(scope="module")
def of_colours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """Triton with the contract's network, taking bytes in batches, and numbers one by one."""
    folder = tmp_path_factory.mktemp("triton")
    network = folder / "colours.onnx"
    network.write_bytes(colours())
    offers = {"bytes": Offer(network, 7), "numbers": Offer(network, 7, "FP32", batch=0)}
    with triton(folder, offers) as server:
        yield server


@pytest.fixture(scope="module")
def of_yolo(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[TritonServer]:
    offers = {MODEL: Offer(models_dir / MODEL / "model.xml", 84)}
    with triton(tmp_path_factory.mktemp("triton"), offers) as server:
        yield server


@pytest.mark.parametrize("offered", ["bytes", "numbers"], scope="class")
class TestTriton(EngineContract):
    @pytest.fixture(autouse=True)
    def _serve(self, of_colours: TritonServer, offered: str) -> Iterator[None]:
        self.server, self.offered = of_colours, offered
        before = of_colours.inferred(offered)
        yield
        assert of_colours.inferred(offered) > before

    def make(self, network: Path) -> Engine:
        return registry.create(
            "kserve", network, server=self.server.url, server_model=self.offered, server_timeout_s=5.0, precision="f32"
        )


def test_a_model_that_triton_lacks_is_named(of_colours: TritonServer, network: Path) -> None:
    engine: Any = registry.create("kserve", network, server=of_colours.url, server_model="yard", server_timeout_s=5.0)
    engine.prepare(Size(64, 32))
    assert engine.problem.endswith("has no model 'yard'")
    engine.close()


@asynccontextmanager
async def service(serve: Serve, models_dir: Path, **flags: str) -> AsyncIterator[tuple[Running, Camera]]:
    """The service with the default model in f32, and a camera."""
    flags |= {"model__dir": str(models_dir), "engine__precision": "f32", "flow__burst": "100"}
    async with (
        serve(load=loading.load_to_serve, wait_ready=True, **flags) as running,
        camera(running.url, "gate") as gate,
    ):
        yield running, gate


def offloaded(server: TritonServer) -> dict[str, str]:
    return {
        "engine__kind": "kserve", "engine__server": server.url, "engine__server_timeout_s": str(TIMEOUT_S),
    }  # fmt: skip


async def detections(gate: Camera, pictures: list[bytes]) -> list[list[dict[str, Any]]]:
    found = []
    for number, data in enumerate(pictures):
        await gate.push({"image": data, "frame_id": number})
        event, answer = await gate.answer(number)
        assert event == "detection_results", answer
        found.append(answer["detections"])
    return found


async def test_boxes_over_triton_are_those_of_the_local_engine(
    serve: Serve, models_dir: Path, of_yolo: TritonServer
) -> None:
    pictures = [path.read_bytes() for path in PHOTOGRAPHS] or [street(seed) for seed in range(8)]
    before = of_yolo.inferred(MODEL)
    async with service(serve, models_dir, **offloaded(of_yolo)) as (running, gate):
        await finding(running, there=False)
        there = await detections(gate, pictures)
    assert of_yolo.inferred(MODEL) >= before + len(pictures)
    async with service(serve, models_dir) as (_, gate):
        here = await detections(gate, pictures)
    assert sum(map(len, here)) >= len(pictures)
    for over, local in zip(there, here, strict=True):
        assert [one["name"] for one in over] == [one["name"] for one in local]
        for one, other in zip(over, local, strict=True):
            assert one["confidence"] == pytest.approx(other["confidence"], abs=0.01)
            assert list(one["box"].values()) == pytest.approx(list(other["box"].values()), abs=1.0)


Act = Callable[[TritonServer], None]
FAULTS: dict[str, tuple[Act, Act, str]] = {
    "killed": (TritonServer.kill, TritonServer.start, "cannot be reached"),
    "frozen": (TritonServer.freeze, TritonServer.go_on, "did not answer within 3 s"),
    "stuck": (partial(TritonServer.hang, model=MODEL), partial(TritonServer.release, model=MODEL), "did not answer"),
    "without its backend": (TritonServer.end_backends, TritonServer.start, ""),
    "with a frozen backend": (TritonServer.freeze_backends, TritonServer.start, ""),
}
"""How Triton breaks, how it is repaired, and what the finding says."""


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_frame_is_lost_while_triton_is_broken(
    fault: str, serve: Serve, models_dir: Path, of_yolo: TritonServer
) -> None:
    breaks, repairs, said = FAULTS[fault]
    inferred = partial(anyio.to_thread.run_sync, of_yolo.inferred, MODEL)
    async with service(serve, models_dir, **offloaded(of_yolo)) as (running, gate):
        await finding(running, there=False)
        async with anyio.create_task_group() as group:
            frames = Frames(gate)
            group.start_soon(frames.push)
            before = await inferred()
            await frames.more(5)
            assert await inferred() >= before + 3
            breaks(of_yolo)
            assert said in await finding(running, there=True)
            await frames.more(5)
            await anyio.to_thread.run_sync(repairs, of_yolo)
            await finding(running, there=False)
            before = await inferred()
            await frames.more(5)
            assert await inferred() >= before + 3
            group.cancel_scope.cancel()
    assert frames.lost == []
    print(f"{fault}: {frames.answered} frames, the slowest took {frames.slowest_s:.2f} s")


class Frames:
    """A camera's frames, one after another, each with a stop sign to be found."""

    def __init__(self, gate: Camera) -> None:
        self._gate = gate
        self.answered, self.slowest_s = 0, 0.0
        self.lost: list[Any] = []

    async def push(self) -> None:
        while True:
            number, began_s = self.answered, time.monotonic()
            ack = await self._gate.push({"image": street(number), "frame_id": number})
            event, answer = await self._gate.answer(number)
            self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
            if event != "detection_results" or [one["name"] for one in answer["detections"]] != ["stop sign"]:
                self.lost.append(answer)
            self.answered += 1
            await anyio.sleep(ack["limits"]["min_interval"])

    async def more(self, count: int) -> None:
        """Wait until so many further frames were answered."""
        aim = self.answered + count
        with anyio.fail_after(180):
            while self.answered < aim:
                await anyio.sleep(0.05)


def street(seed: int) -> bytes:
    """A stop sign in a street; no two pictures are the same."""
    pixels, _ = scene.draw(Size(640, 360), seed=seed)
    return decode.encode_jpeg(np.asarray(pixels), 90)


async def finding(running: Running, there: bool) -> str:
    """Wait until /health lists the finding, or does not; returns what it says."""
    with anyio.fail_after(180):
        async with aiohttp.ClientSession(running.url) as session:
            while True:
                async with session.get("/health") as answer:
                    found = [one for one in (await answer.json())["findings"] if one["code"] == CODE]
                if bool(found) == there:
                    return str(found)
                await anyio.sleep(0.1)
