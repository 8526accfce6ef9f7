"""A small inference server that speaks KServe v2 over gRPC: OpenVINO behind the messages that NVIDIA generates.

Its messages are not those of the engine, so that a wrong field number shows.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import openvino
from tritonclient.grpc import service_pb2, service_pb2_grpc

TYPES = {"UINT8": np.uint8, "FP16": np.float16, "FP32": np.float32}


class Model(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """One network under a name. The attributes may be changed while it serves."""

    def __init__(
        self, network: Path, *, name: str = "", datatype: str = "UINT8", colours_last: bool = True, output: str = "FP32"
    ) -> None:
        self.name, self.datatype, self.colours_last = name or network.parent.name, datatype, colours_last
        self.output, self.as_numbers = output, False
        self.size: tuple[int, int] = (-1, -1)
        self.go_on = threading.Event()
        self.go_on.set()
        """Cleared: it hangs."""
        self.refuses: grpc.StatusCode | None = None
        self.says: list[int] = [1, 7, -1]
        """The shape of its output, in the metadata."""
        self.answers: tuple[str, list[int], bytes] | None = None
        """Datatype, shape and bytes of each output instead of the right one."""
        self.inferred = 0
        self._compiled = openvino.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        self._lock = threading.Lock()

    def ModelMetadata(self, request: Any, context: Any) -> Any:
        self._check(request.name, context)
        sides = [*self.size]
        shape = [1, *sides, 3] if self.colours_last else [1, 3, *sides]
        found = service_pb2.ModelMetadataResponse(name=self.name, versions=["1"], platform="openvino")
        found.inputs.add(name="images", datatype=self.datatype, shape=shape)
        found.outputs.add(name="output0", datatype=self.output, shape=self.says)
        return found

    def ModelInfer(self, request: Any, context: Any) -> Any:
        self._check(request.model_name, context)
        sent = request.inputs[0]
        assert (sent.name, sent.datatype, [one.name for one in request.outputs]) == (
            "images",
            self.datatype,
            ["output0"],
        )
        pixels = np.frombuffer(request.raw_input_contents[0], TYPES[self.datatype]).reshape(sent.shape)
        if self.colours_last:
            pixels = pixels.transpose(0, 3, 1, 2)
        image = pixels.astype(np.float32) / (255 if self.datatype == "UINT8" else 1)
        with self._lock:
            output = self._compiled([image])[0].astype(TYPES[self.output])
            self.inferred += 1
        answer = service_pb2.ModelInferResponse(model_name=self.name)
        if self.answers is not None:
            datatype, shape, raw = self.answers
            answer.outputs.add(name="output0", datatype=datatype, shape=shape)
            answer.raw_output_contents.append(raw)
            return answer
        described = answer.outputs.add(name="output0", datatype=self.output, shape=output.shape)
        if self.as_numbers:
            described.contents.fp32_contents.extend(output.ravel().tolist())
        else:
            answer.raw_output_contents.append(output.tobytes())
        return answer

    def _check(self, name: str, context: Any) -> None:
        self.go_on.wait(20)
        if self.refuses is not None:
            context.abort(self.refuses, "the graphics card is on fire")
        if name != self.name:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no {name}")


@contextmanager
def serving(model: Model, port: int = 0) -> Iterator[int]:
    """Serve until left; yields the port."""
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(model, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield port
    finally:
        model.go_on.set()
        server.stop(0).wait()
