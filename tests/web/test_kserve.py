"""KServe v2 with NVIDIA's client, which nobody here wrote, and by hand where that client cannot misbehave."""

from __future__ import annotations

import base64
import io
import json
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import anyio.to_thread
import cv2
import numpy as np
import pytest
import tritonclient.http as triton
from numpy.typing import NDArray

from appliance.errors import BadFrame
from appliance.values import Size
from appliance.vision import scene
from appliance.web import kserve_tensors
from tests.conftest import Running, Serve
from tests.fakes import FakeEngine
from tests.web.requests import picture

ROWS = [(10, 22, 110, 122, 0.9, 2), (0, 12, 50, 60, 0.5, 1)]
BOXES = [[10, 10, 110, 110], [0, 0, 50, 48]]


@pytest.fixture(scope="module")
async def infers(serve: Serve) -> AsyncIterator[Running]:
    flags = {"server__max_frame_bytes": "1000000", "flow__burst": "100"}
    async with serve(FakeEngine(ROWS), **flags) as running:
        yield running


async def with_client(running: Running, work: Callable[[Any], Any]) -> Any:
    """What `work` returns; the client blocks, so it has a thread."""

    def run() -> Any:
        client = triton.InferenceServerClient(running.url.removeprefix("http://"))
        try:
            return work(client)
        finally:
            client.close()

    return await anyio.to_thread.run_sync(run)


def image(data: bytes, binary: bool = True) -> Any:
    tensor = triton.InferInput("image", [1], "BYTES")
    values = [data if binary else base64.b64encode(data)]
    tensor.set_data_from_numpy(np.array(values, object), binary_data=binary)
    return tensor


def pixels(rgb: NDArray[np.uint8], binary: bool = True) -> Any:
    tensor = triton.InferInput("pixels", [1, *rgb.shape], "UINT8")
    tensor.set_data_from_numpy(rgb[np.newaxis], binary_data=binary)
    return tensor


async def test_a_client_names_its_camera_in_a_header(infers: Running) -> None:
    named = {"X-Camera": "dock"}
    await with_client(infers, lambda client: client.infer("fake", [image(picture(1))], headers=named))
    assert "dock" in infers.started.parts.path.pace.stats()


async def test_the_client_finds_the_server_and_the_model(infers: Running) -> None:
    def ask(client: Any) -> None:
        assert client.is_server_live()
        assert not client.is_server_ready()  # this engine does not find the signs of the self-test
        assert not client.is_model_ready("fake")
        assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
        model = client.get_model_metadata("fake")
        assert (model["name"], model["platform"]) == ("fake", "fake")
        assert {one["name"] for one in model["inputs"]} == {"image", "pixels"}
        with pytest.raises(triton.InferenceServerException, match="model 'other' is not active; request 'fake'"):
            client.get_model_metadata("other")

    await with_client(infers, ask)


async def test_a_ready_device_is_a_ready_server(live: Running) -> None:
    assert await with_client(live, lambda client: client.is_server_ready() and client.is_model_ready("fake"))


@pytest.mark.parametrize("answer_binary", [True, False], ids=["binary_answer", "json_answer"])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("kind", ["image", "pixels"])
async def test_pictures_and_pixels_become_detections(
    infers: Running, kind: str, binary: bool, answer_binary: bool
) -> None:
    seed = 4 * (kind == "image") + 2 * binary + answer_binary

    def ask(client: Any) -> Any:
        size = Size(640, 360) if binary else Size(320, 180)
        tensor = image(picture(seed), binary) if kind == "image" else pixels(scene.draw(size, seed=seed)[0], binary)
        outputs = [triton.InferRequestedOutput(name, binary_data=answer_binary)
                   for name in ("boxes", "scores", "class_ids", "names")]  # fmt: skip
        return client.infer("fake", [tensor], outputs=outputs, request_id="gate-7"), size

    found, size = await with_client(infers, ask)
    scale = 0.5 if kind == "pixels" and size.width == 320 else 1
    assert found.get_response()["id"] == "gate-7"
    assert found.as_numpy("boxes") == pytest.approx(np.array(BOXES) * scale, abs=0.5)
    assert found.as_numpy("scores") == pytest.approx([0.9, 0.5], abs=1e-4)
    assert found.as_numpy("class_ids").tolist() == [2, 1]
    assert [name if isinstance(name, str) else name.decode() for name in found.as_numpy("names")] == [
        "stop sign", "car"
    ]  # fmt: skip


async def test_parameters_filter_and_outputs_are_optional(infers: Running) -> None:
    def ask(client: Any, **parameters: Any) -> Any:
        return client.infer("fake", [image(picture(20))], parameters=parameters)

    found = await with_client(infers, lambda client: ask(client, min_confidence=0.6))
    assert found.as_numpy("boxes").shape == (1, 4)
    found = await with_client(infers, lambda client: ask(client, classes="car, person"))
    assert found.as_numpy("names").tolist() == [b"car"]
    found = await with_client(infers, lambda client: ask(client, min_confidence=1))
    assert found.as_numpy("boxes").shape == (0, 4)
    assert found.as_numpy("names").tolist() == []


async def test_pixels_reach_the_engine_as_they_are(serve: Serve) -> None:
    engine = FakeEngine(ROWS)
    rgb = np.full((384, 640, 3), (200, 100, 50), np.uint8)
    async with serve(engine) as running:
        await with_client(running, lambda client: client.infer("fake", [pixels(rgb)]))
    tensor = np.asarray(engine.tensors[-1]).reshape(-1)
    assert set(np.unique(np.round(tensor.astype(float) * (255 if tensor.max() <= 1 else 1)))) == {200, 100, 50}


INPUT = {"name": "image", "shape": [1], "datatype": "BYTES", "data": ["AAAA"]}
PIXELS = {"name": "pixels", "shape": [1, 2, 2, 3], "datatype": "UINT8", "data": [0] * 12}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "option_invalid"),
        ([], "option_invalid"),
        ({"inputs": []}, "option_invalid"),
        ({"inputs": [INPUT, INPUT]}, "option_invalid"),
        ({"inputs": [INPUT | {"name": "imag"}]}, "option_invalid"),
        ({"inputs": [INPUT | {"datatype": "FP32"}]}, "option_invalid"),
        ({"inputs": [INPUT | {"shape": [2]}]}, "option_invalid"),
        ({"inputs": [INPUT | {"data": []}]}, "option_invalid"),
        ({"inputs": [INPUT | {"data": [1]}]}, "option_invalid"),
        ({"inputs": [INPUT | {"data": ["%%%%"]}]}, "base64_invalid"),
        ({"inputs": [INPUT]}, "image_unsupported"),
        ({"inputs": [INPUT | {"parameters": {"binary_data_size": 5}}]}, "option_invalid"),
        ({"inputs": [PIXELS | {"data": [0] * 11}]}, "option_invalid"),
        ({"inputs": [PIXELS | {"data": [256] * 12}]}, "option_invalid"),
        ({"inputs": [PIXELS | {"data": [-1] * 12}]}, "option_invalid"),
        ({"inputs": [PIXELS | {"data": [0.5] * 12}]}, "option_invalid"),
        ({"inputs": [PIXELS | {"data": "0" * 12}]}, "option_invalid"),
        ({"inputs": [PIXELS | {"shape": [1, 70000, 1, 3], "data": [0] * 210000}]}, "image_too_large"),
        ({"inputs": [PIXELS | {"shape": [1, 10**15, 10**15, 3]}]}, "option_invalid"),
        ({"inputs": [PIXELS | {"shape": [1, -2, -2, 3]}]}, "option_invalid"),
        ({"inputs": [INPUT], "outputs": [{"name": "box"}]}, "option_invalid"),
        ({"inputs": [INPUT], "parameters": {"min_confidense": 0.5}}, "unknown_field"),
        ({"inputs": [INPUT], "parameters": {"min_confidence": "high"}}, "option_invalid"),
    ],
)
async def test_each_fault_of_a_request_has_its_code(infers: Running, body: Any, code: str) -> None:
    async with (
        aiohttp.ClientSession(infers.url) as session,
        session.post("/v2/models/fake/infer", data=json.dumps(body)) as answer,
    ):
        assert (answer.status, (await answer.json())["code"]) == (400, code), await answer.text()


@pytest.mark.parametrize("length", ["", "-1", "1e3", "9" * 30, "0", "5000000", "²"])
async def test_an_invalid_length_of_the_header_is_refused(infers: Running, length: str) -> None:
    headers = {"Inference-Header-Content-Length": length}
    async with (
        aiohttp.ClientSession(infers.url) as session,
        session.post("/v2/models/fake/infer", data=b"{}", headers=headers) as answer,
    ):
        assert answer.status == 400


async def test_a_body_beyond_the_limit_is_refused(infers: Running) -> None:
    async with (
        aiohttp.ClientSession(infers.url) as session,
        session.post("/v2/models/fake/infer", data=io.BytesIO(b" " * 1_500_000)) as answer,
    ):
        assert (answer.status, (await answer.json())["code"]) == (413, "frame_too_large")


@pytest.mark.parametrize("path", ["/v2/", "/v2/models", "/v2/models/fake/versions/1"])
async def test_an_unknown_route_says_how_to_infer(infers: Running, path: str) -> None:
    async with aiohttp.ClientSession(infers.url) as session, session.get(path) as answer:
        assert (answer.status, (await answer.json())["code"]) == (404, "not_found")


async def test_a_wrong_method_is_refused_with_the_right_one(infers: Running) -> None:
    async with aiohttp.ClientSession(infers.url) as session, session.get("/v2/models/fake/infer") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        assert (await answer.json())["code"] == "method_not_allowed"


def test_a_long_array_of_numbers_is_read_without_a_loss() -> None:
    """In pieces: a reader of the whole array would hold the interpreter for 200 ms at 10 MB."""
    rgb = np.random.default_rng(1).integers(0, 255, (100, 130, 3), np.uint8)
    request = {"inputs": [PIXELS | {"shape": [1, 100, 130, 3], "data": rgb[np.newaxis].tolist()}]}
    asked = kserve_tensors.read(json.dumps(request, indent=1).encode(), None)
    data = asked.payload["image"]
    assert isinstance(data, bytes)
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert np.array_equal(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), rgb)


def test_one_number_longer_than_a_piece_is_refused() -> None:
    body = b'{"inputs":[{"name":"pixels","shape":[1,1,1,3],"datatype":"UINT8","data":[%s,1,1]}]}' % (b"1" * 200_000)
    with pytest.raises(BadFrame):
        kserve_tensors.read(body, None)


MANY = 200_000
"""Values that a request holds where one, or a few, belong."""


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":[%s[]]}]}' % (b"[]," * MANY),
        b'{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":[[%s""]]}]}' % (b'"",' * MANY),
        b'{"inputs":[{"name":"image","shape":[%s1],"datatype":"BYTES","data":[""]}]}' % (b"1000," * MANY),
        b'{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":[""],"parameters":{%s}}]}'
        % b",".join(b'"%x":0' % number for number in range(MANY)),
        b'{"inputs":[%s{}]}' % (b'{"name":"","shape":[],"datatype":""},' * MANY),
        b'{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":[""]}],"outputs":[%s{}]}'
        % (b'{"name":""},' * MANY),
    ],
    ids=["lists", "texts", "shape", "parameters", "inputs", "outputs"],
)
def test_values_that_are_not_needed_are_not_made(body: bytes) -> None:
    """Millions of them would hold the interpreter, and with it the event loop, for seconds."""
    tracemalloc.start()
    try:
        with pytest.raises(BadFrame):
            kserve_tensors.read(body, None)
        assert tracemalloc.get_traced_memory()[1] < 8 * MANY
    finally:
        tracemalloc.stop()
