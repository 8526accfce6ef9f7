"""The client of one model on an inference server: KServe v2 over gRPC."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from appliance.engines.kserve import messages
from appliance.engines.kserve.tensors import ServedModel, UnusableServer, decode, encode, served_model
from appliance.errors import EngineError
from appliance.ports import Raw, Tensor

_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 2000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.use_local_subchannel_pool", 1),  # else a new channel gets the connection of the old one
)

_DESCRIPTION_BYTES = 1 << 20


class Unanswered(UnusableServer):
    """The server gave no answer in time."""


class ModelServer:
    """Runs one model on the server at `url` (grpc:// or grpcs://). Thread-safe.

    `timeout_s`: for each answer. `ca_file`: certificates to trust; None: the system's. Raises EngineError.

    A connection over which `describe` gets no answer is replaced: its other end may have lost it, as a server or a
    firewall does that was switched off and on, and TCP needs a quarter of an hour to notice. Pings would notice too,
    but servers close the connection of a client that pings more often than every five minutes.
    """

    def __init__(self, url: str, model: str, timeout_s: float, ca_file: Path | None = None) -> None:
        try:
            import grpc

            self._messages = messages.load()
        except ImportError as error:
            raise EngineError(f"{error.name} is not installed; pip install grpcio protobuf") from None
        self._grpc, self._model, self._timeout_s = grpc, model, timeout_s
        parts = urlsplit(url)
        self.address = parts.netloc
        if parts.scheme == "grpcs":
            try:
                trusted = ca_file.read_bytes() if ca_file is not None else None
            except OSError as error:
                raise EngineError(f"engine.server_ca_file cannot be read: {error}") from None
            self._credentials = grpc.ssl_channel_credentials(trusted)
        else:
            self._credentials = None
        self._changing, self._closed = threading.Lock(), False
        self._most_bytes = _DESCRIPTION_BYTES
        self._connect()

    def describe(self) -> ServedModel:
        """What the server's model takes and returns. Raises UnusableServer."""
        try:
            answer = self._send(self._ask_metadata, self._messages.metadata_request(name=self._model))
        except Unanswered:
            self._reconnect()
            raise
        inputs = [(one.name, one.datatype, tuple(one.shape)) for one in answer.inputs]
        return served_model(inputs, [(one.name, tuple(one.shape)) for one in answer.outputs])

    def limit(self, most_bytes: int) -> None:
        """Refuse longer answers from now on. gRPC would gather them in memory, one for each frame at the server."""
        with self._changing:
            if most_bytes == self._most_bytes:
                return
            self._most_bytes = most_bytes
        self._reconnect()

    def infer(self, model: ServedModel, tensor: Tensor) -> Raw:
        """The model's outputs for one picture, in its own order. Raises OtherSize and UnusableServer."""
        shape, pixels = encode(model, tensor)
        request = self._messages.infer_request(model_name=self._model, raw_input_contents=[pixels])
        request.inputs.add(name=model.input_name, datatype=model.datatype, shape=shape)
        for name in model.output_names:
            request.outputs.add(name=name)
        answer = self._send(self._ask_infer, request)
        found = {}
        for number, output in enumerate(answer.outputs):
            found[output.name] = decode(output.datatype, tuple(output.shape), _contents(answer, output, number))
        if missing := set(model.output_names) - found.keys():
            raise UnusableServer(f"answered without the output {', '.join(sorted(missing))}")
        return tuple(found[name] for name in model.output_names)

    def close(self) -> None:
        with self._changing:
            self._closed = True
            self._channel.close()

    def _connect(self) -> None:
        options = (*_OPTIONS, ("grpc.max_receive_message_length", self._most_bytes))
        if self._credentials is not None:
            self._channel = self._grpc.secure_channel(self.address, self._credentials, options=options)
        else:
            self._channel = self._grpc.insecure_channel(self.address, options=options)
        kinds = self._messages
        self._ask_metadata = self._call("ModelMetadata", kinds.metadata_request, kinds.metadata_response)
        self._ask_infer = self._call("ModelInfer", kinds.infer_request, kinds.infer_response)

    def _reconnect(self) -> None:
        with self._changing:
            if not self._closed:
                self._channel.close()
                self._connect()

    def _call(self, method: str, request: Any, response: Any) -> Any:
        return self._channel.unary_unary(
            messages.SERVICE + method,
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )

    def _send(self, call: Any, request: Any) -> Any:
        try:
            return call(request, timeout=self._timeout_s)
        except self._grpc.RpcError as error:
            unanswered = error.code() == self._grpc.StatusCode.DEADLINE_EXCEEDED
            raise (Unanswered if unanswered else UnusableServer)(self._reason(error)) from None
        except ValueError:  # the channel was closed meanwhile
            raise UnusableServer("is not used any more") from None

    def _reason(self, error: Any) -> str:
        code, codes = error.code(), self._grpc.StatusCode
        if code == codes.DEADLINE_EXCEEDED:
            return f"did not answer within {self._timeout_s:g} s"
        if code == codes.UNAVAILABLE:
            return "cannot be reached"
        if code == codes.NOT_FOUND:
            return f"has no model '{self._model}'"
        details = " ".join((error.details() or "").split())[:200]
        return f"refused: {code.name}{': ' if details else ''}{details}"


def _contents(answer: Any, output: Any, number: int) -> bytes:
    """The bytes of an output; servers may send numbers instead."""
    if number < len(answer.raw_output_contents):
        raw: bytes = answer.raw_output_contents[number]
        return raw
    numbers = output.contents.fp32_contents
    return np.fromiter(numbers, np.float32, len(numbers)).tobytes()
