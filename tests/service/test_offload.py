"""A service whose frames are inferred on a server: cameras get every answer, also while the server hangs."""

from __future__ import annotations

import asyncio
import itertools
import time
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from appliance.service import loading
from tests.conftest import Running, Serve
from tests.flow.frames import jpeg
from tests.models.bundles import make_bundles

pytest.importorskip("grpc", reason="NOT TESTED: the extra `kserve` is not installed")

from tests.engines.kserve_server import Model, serving  # needs grpc

CODE = "engine_server_away"


async def answered(session: aiohttp.ClientSession) -> bool:
    """Whether a frame gets its detections."""
    async with session.post("/detect?min_confidence=0.01", data=jpeg(next(_seeds))) as answer:
        return answer.status == 200 and "detections" in await answer.json()


_seeds = itertools.count()
"""No picture twice: the cache would answer."""


async def finding(running: Running, there: bool) -> str:
    """Wait for the finding to come or go; returns what it says."""
    deadline_s = time.monotonic() + 30
    while time.monotonic() < deadline_s:
        said = [one.what for one in running.started.parts.vitals.findings() if one.code == CODE]
        if bool(said) == there:
            return "".join(said)
        await asyncio.sleep(0.1)
    raise AssertionError(f"{CODE} did not {'come' if there else 'go'}")


async def test_every_frame_is_answered_while_the_inference_server_hangs(serve: Serve, tmp_path: Path) -> None:
    folder = make_bundles(tmp_path / "models", "gate", keep_onnx=True)
    model = Model(folder / "gate" / "model.onnx")
    with serving(model) as port:
        flags = {
            "model.dir": str(folder), "model.name": "gate", "engine.kind": "kserve",
            "engine.server": f"grpc://127.0.0.1:{port}", "engine.server_timeout_s": "0.5",
        }  # fmt: skip
        async with (
            serve(load=loading.load_to_serve, wait_ready=True, **flags) as running,
            aiohttp.ClientSession(running.url) as session,
        ):
            frame = partial(answered, session)

            assert await frame()
            await finding(running, there=False)
            model.go_on.clear()
            assert all([await frame() for _ in range(6)])
            assert f"The inference server 127.0.0.1:{port} did not answer within 0.5 s" in await finding(running, True)
            model.go_on.set()
            await finding(running, there=False)
            before = model.inferred
            assert await frame()
            assert model.inferred > before
