"""The engine kserve against a server: formats, and a server that is away, hangs, or runs another model."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from appliance.engines import registry
from appliance.engines.kserve.tensors import UnusableServer, longest_answer, served_model
from appliance.errors import EngineError
from appliance.ports import Engine, Offloads, Raw
from appliance.testing.colours import colours, expected
from appliance.testing.engines import EngineContract, kept, noise
from appliance.values import Size

grpc = pytest.importorskip("grpc", reason="NOT TESTED: the extra `kserve` is not installed")

from tests.engines.kserve_server import Model, serving  # noqa: E402  # needs grpc

if TYPE_CHECKING:
    from appliance.engines.kserve.engine import KserveEngine

SIZE = Size(64, 32)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "colours" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(colours())
    return path


@contextmanager
def engine_of(network: Path, port: int, **options: Any) -> Iterator[KserveEngine]:
    engine: Any = registry.create(
        "kserve",
        network,
        **{"server": f"grpc://127.0.0.1:{port}", "precision": "f32", "server_timeout_s": 20.0, **options},
    )
    with closing(engine):
        yield engine


def until(true: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class TestKserve(EngineContract):
    """With a server; every inference of a prepared engine runs there."""

    @pytest.fixture(autouse=True)
    def _serve(self, tmp_path: Path) -> Iterator[None]:
        with ExitStack() as self.servers:
            self.model: Model | None = None
            yield
            assert self.model is not None
            assert self.model.inferred

    def make(self, network: Path) -> Engine:
        self.model = Model(network)
        port = self.servers.enter_context(serving(self.model))
        return registry.create(
            "kserve", network, server=f"grpc://127.0.0.1:{port}", precision="f32", server_timeout_s=20.0
        )


class TestKserveAway(EngineContract):
    """Without a server, everything runs here."""

    def make(self, network: Path) -> Engine:
        return registry.create("kserve", network, server=f"grpc://127.0.0.1:{free_port()}", precision="f32")


@pytest.mark.parametrize("colours_last", [True, False])
@pytest.mark.parametrize("datatype", ["UINT8", "FP32", "FP16"])
def test_every_type_and_layout_gives_the_same_boxes(network: Path, datatype: str, colours_last: bool) -> None:
    model = Model(network, datatype=datatype, colours_last=colours_last)
    with serving(model) as port, engine_of(network, port) as engine:
        engine.prepare(SIZE)
        assert (engine.problem, engine.device) == (None, f"127.0.0.1:{port}")
        before = model.inferred
        tensor = noise(SIZE, 1)
        np.testing.assert_allclose(engine.infer(tensor, kept), expected(tensor), atol=2e-3)
        assert model.inferred == before + 1


@pytest.mark.parametrize("as_numbers", [True, False])
def test_outputs_may_be_numbers_or_halves(network: Path, as_numbers: bool) -> None:
    model = Model(network, output="FP32" if as_numbers else "FP16")
    model.as_numbers = as_numbers
    with serving(model) as port, engine_of(network, port) as engine:
        engine.prepare(SIZE)
        assert engine.problem is None
        np.testing.assert_allclose(engine.infer(noise(SIZE, 1), kept), expected(noise(SIZE, 1)), atol=0.05)


def test_a_server_that_goes_is_replaced_at_once_and_used_again_when_it_is_back(network: Path) -> None:
    tensor = noise(SIZE, 1)
    with ExitStack() as first:
        model = Model(network)
        port = first.enter_context(serving(model))
        with engine_of(network, port) as engine:
            assert isinstance(engine, Offloads)
            engine.prepare(SIZE)
            first.close()
            np.testing.assert_allclose(engine.infer(tensor, kept), expected(tensor), atol=1e-3)
            assert engine.problem == f"The inference server 127.0.0.1:{port} cannot be reached"
            model = Model(network)
            with serving(model, port):
                until(lambda: engine.problem is None)
                before = model.inferred
                engine.infer(tensor, kept)
                assert model.inferred == before + 1


def test_a_server_that_hangs_costs_the_frames_in_flight_one_timeout_and_later_ones_nothing(network: Path) -> None:
    model, tensor = Model(network), noise(SIZE, 1)
    with serving(model) as port, engine_of(network, port, server_timeout_s=0.5) as engine:
        engine.prepare(SIZE)
        until(lambda: engine.problem is None)
        model.go_on.clear()
        found: list[Any] = []
        threads = [
            threading.Thread(target=lambda: found.append(engine.infer(tensor, kept))) for _ in range(engine.slots)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert engine.problem is not None
        assert engine.problem.endswith("did not answer within 0.5 s")
        asked = model.inferred
        for _ in range(20):  # not asked: it would hang each time
            found.append(engine.infer(tensor, kept))
        assert model.inferred == asked
        assert len(found) == engine.slots + 20
        for raw in found:
            np.testing.assert_allclose(raw, expected(tensor), atol=1e-3)
        model.go_on.set()
        until(lambda: engine.problem is None)


class Forwarder:
    """Forwards TCP connections to a port, until it forgets those that are open: they stay open and get nothing."""

    def __init__(self, port: int) -> None:
        self._target, self._forwarded = port, threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._open: list[socket.socket] = [self._server]
        threading.Thread(target=self._accept, daemon=True).start()

    def forget(self) -> None:
        self._forwarded.set()
        self._forwarded = threading.Event()

    def close(self) -> None:
        self.forget()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._open += [client, server]
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(*ends, self._forwarded), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, forgotten: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not forgotten.is_set():
                    sink.sendall(data)


def test_a_connection_that_was_lost_without_a_word_is_replaced(network: Path) -> None:
    """As when a firewall on the way was switched off and on: neither end notices, and TCP waits for long."""
    with (
        serving(Model(network)) as port,
        closing(Forwarder(port)) as way,
        engine_of(network, way.port, server_timeout_s=0.5) as engine,
    ):
        engine.prepare(SIZE)
        until(lambda: engine.problem is None)
        way.forget()
        np.testing.assert_allclose(engine.infer(noise(SIZE, 1), kept), expected(noise(SIZE, 1)), atol=1e-3)
        assert str(engine.problem).endswith("did not answer within 0.5 s")
        until(lambda: engine.problem is None)


def test_a_server_that_comes_later_is_used(network: Path) -> None:
    port = free_port()
    with engine_of(network, port) as engine:
        engine.prepare(SIZE)
        assert engine.infer(noise(SIZE, 1), kept).shape == (7, 2)
        with serving(Model(network), port):
            until(lambda: engine.problem is None)


def test_a_server_with_another_model_is_not_used(network: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(colours(rows=9))
    with serving(Model(other, name="colours")) as port, engine_of(network, port) as engine:
        engine.prepare(SIZE)
        assert engine.problem is not None
        assert engine.problem.endswith(
            "runs another model: its outputs have the shape 9x2, those of this device's model 7x2"
        )
        np.testing.assert_allclose(engine.infer(noise(SIZE, 1), kept), expected(noise(SIZE, 1)), atol=1e-3)


def test_a_model_that_the_server_lacks_or_refuses_to_run_is_named(network: Path) -> None:
    model = Model(network)
    with serving(model) as port:
        with engine_of(network, port, server_model="yard") as engine:
            engine.prepare(SIZE)
            assert engine.problem == f"The inference server 127.0.0.1:{port} has no model 'yard'"
        with engine_of(network, port) as engine:
            engine.prepare(SIZE)
            model.refuses = grpc.StatusCode.INTERNAL
            assert engine.infer(noise(SIZE, 1), kept).shape == (7, 2)
            assert str(engine.problem).endswith("refused: INTERNAL: the graphics card is on fire")


def test_pictures_of_another_size_than_the_servers_are_inferred_here(network: Path) -> None:
    model = Model(network)
    model.size = (SIZE.height, SIZE.width)
    with serving(model) as port, engine_of(network, port) as engine:
        engine.prepare(SIZE)
        before, tall = model.inferred, noise(Size(32, 96), 1)
        np.testing.assert_allclose(engine.infer(tall, kept), expected(tall), atol=1e-3)
        engine.infer(noise(SIZE, 1), kept)
        assert (model.inferred, engine.problem) == (before + 1, None)


OTHER_ANSWERS: dict[str, tuple[str, list[int], bytes, str]] = {
    "classes": (
        "FP32",
        [1, 9, 2],
        bytes(72),
        "runs another model than before: its outputs have the shape 9x2, not 7x?",
    ),
    "rank": ("FP32", [1, 7], bytes(28), "another model than before"),
    "short": ("FP32", [1, 7, 2], bytes(8), r"answered with 8 bytes for an output of shape \[1, 7, 2\]"),
    "batch": ("FP32", [7, 2], bytes(56), "answered with 56 bytes"),
    "negative": ("FP32", [1, -7, -2], bytes(56), "answered with 56 bytes"),
    "huge_shape": ("FP32", [1, 0, 2**62, 2**62], b"", "answered with an output of shape"),
    "dimensions": ("FP32", [1] * 70, bytes(4), "answered with an output of shape"),
    "type": ("INT64", [1, 7, 2], bytes(112), "answered with INT64"),
    "nan": ("FP32", [1, 7, 2], np.full(14, np.nan, np.float32).tobytes(), "cannot be used: the output contains NaN"),
    "huge": ("FP32", [1, 7, 100_000], bytes(2_800_000), "refused: RESOURCE_EXHAUSTED"),
}


def test_a_server_that_begins_to_answer_something_else_is_replaced(network: Path) -> None:
    """Its model was replaced while it runs, or it is none of ours. All of them are asked again in the same seconds."""

    def read(outputs: Raw) -> Any:
        if np.isnan(outputs[0]).any():
            raise EngineError("the output contains NaN")
        return outputs[0].copy()

    with ExitStack() as stack:
        engines = {}
        for name, (datatype, shape, raw, why) in OTHER_ANSWERS.items():
            model = Model(network)
            port = stack.enter_context(serving(model))
            engine = engines[name] = stack.enter_context(engine_of(network, port, server_timeout_s=20.0))
            engine.prepare(SIZE)
            assert engine.problem is None, name
            model.answers = datatype, shape, raw
            np.testing.assert_allclose(engine.infer(noise(SIZE, 1), read), expected(noise(SIZE, 1)), atol=1e-3)
            assert re.search(why.replace("?", r"\?"), str(engine.problem)), name
            model.answers = None
        until(lambda: all(engine.problem is None for engine in engines.values()))


@pytest.mark.parametrize("says", [[-1, 7, -1], [1, -1, -1], [7], [1, 8, 2], []], ids=str)
def test_what_a_server_says_about_its_outputs_need_not_be_right(network: Path, says: list[int]) -> None:
    model = Model(network)
    model.says = says
    with serving(model) as port, engine_of(network, port) as engine:
        engine.prepare(SIZE)
        for size in (SIZE, Size(64, 64)):
            np.testing.assert_allclose(engine.infer(noise(size, 1), kept), expected(noise(size, 1)), atol=2e-3)
        assert engine.problem is None


def test_the_longest_answer_fits_each_picture_and_little_more() -> None:
    """YOLO11n's detections at 640x384, and at 2048x2048."""
    small, large = ((84, 5040),), 84 * 86_016 * 4
    any_size = served_model([("images", "UINT8", (1, -1, -1, 3))], [("output0", (1, 84, -1))])
    fixed = served_model([("images", "UINT8", (1, 384, 640, 3))], [("output0", (1, 84, 5040))])
    assert large < longest_answer(small, Size(640, 384), any_size) < large + 2_000_000
    assert 84 * 5040 * 4 < longest_answer(small, Size(640, 384), fixed) < 84 * 5040 * 4 + 2_000_000


def test_a_long_description_of_a_model_is_cut(network: Path) -> None:
    model = Model(network)
    model.datatype = "X" * 500_000
    with serving(model) as port, engine_of(network, port) as engine:
        engine.prepare(SIZE)
        assert engine.problem is not None
        assert f"127.0.0.1:{port} offers a model that takes XXX" in engine.problem
        assert len(engine.problem) < 600


def test_an_error_in_read_does_not_blame_the_server(network: Path) -> None:
    def broken(raw: Raw) -> None:
        raise ValueError("broken")

    with serving(Model(network)) as port, engine_of(network, port) as engine:
        engine.prepare(SIZE)
        with pytest.raises(ValueError, match="broken"):
            engine.infer(noise(SIZE, 1), broken)
        assert engine.problem is None


def test_without_an_address_or_with_unreadable_certificates_there_is_no_engine(network: Path) -> None:
    with pytest.raises(EngineError, match=r"engine\.server is not set"):
        registry.create("kserve", network)
    with pytest.raises(EngineError, match=r"engine\.server_ca_file cannot be read"):
        registry.create("kserve", network, server="grpcs://127.0.0.1:1", server_ca_file="/nowhere.pem")


OUT = ("out", (1, 84, -1))


@pytest.mark.parametrize(
    ("inputs", "outputs", "why"),
    [
        ([], [OUT], "0 inputs"),
        ([("images", "UINT8", (1, 32, 32, 3))], [], "0 outputs"),
        ([("images", "INT64", (1, 32, 32, 3))], [OUT], "takes INT64"),
        ([("images", "UINT8", (32, 32, 3))], [OUT], "shape"),
        ([("images", "UINT8", (8, 32, 32, 3))], [OUT], "shape"),
        ([("images", "UINT8", (1, 1, 32, 32))], [OUT], "shape"),
        ([("images", "FP32", (1, 3, 9000, 9000))], [OUT], "9000x9000"),
        ([("images", "FP32", (1, 2**40, -1, 3))], [OUT], "px"),
    ],
)
def test_a_model_that_takes_no_picture_is_refused(inputs: list[Any], outputs: list[Any], why: str) -> None:
    with pytest.raises(UnusableServer, match=why):
        served_model(inputs, outputs)
