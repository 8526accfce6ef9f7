"""NVIDIA's Triton Inference Server from the package nvidia-pytriton, as a process that tests kill and freeze.

The package has Triton's server, without a GPU, and one backend: Python. Its own way to start the server is not
used: here the server reads a model repository, as an operator's does.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.conftest import ROOT
from tests.links.brokers import free_port, started

PACKAGES = ROOT / ".cache/triton"
_SERVER = PACKAGES / "pytriton/tritonserver"
_LIBRARIES = PACKAGES / "nvidia_pytriton.libs"
_START_S = 120

needs_triton = pytest.mark.skipif(
    not _SERVER.exists(), reason="NOT TESTED: Triton Inference Server is not installed; run `make triton-test`"
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A model on the server. `batch` is Triton's max_batch_size; 0: the shape has the batch dimension."""

    network: Path
    rows: int
    """Of the output."""
    datatype: str = "UINT8"
    """`UINT8`: pixels in NHWC; `FP32`: 0-1 in NCHW."""
    batch: int = 8

    def config(self) -> str:
        picture = "-1, -1, 3" if self.datatype == "UINT8" else "3, -1, -1"
        first = "" if self.batch else "1, "
        return (
            f'backend: "python"\nmax_batch_size: {self.batch}\n'
            f'input [{{ name: "images" data_type: TYPE_{self.datatype} dims: [{first}{picture}] }}]\n'
            f'output [{{ name: "output0" data_type: TYPE_FP32 dims: [{first}{self.rows}, -1] }}]\n'
            "instance_group [{ kind: KIND_CPU }]\n"
            f'parameters {{ key: "network" value: {{ string_value: "{self.network.resolve()}" }} }}\n'
        )


class TritonServer:
    """One server and its models, on one port."""

    def __init__(self, folder: Path, offers: Mapping[str, Offer]) -> None:
        self.port, self._folder = free_port(), folder
        self._shared = f"triton-{self.port}-"
        for name, offer in offers.items():
            (folder / "models" / name / "1").mkdir(parents=True)
            (folder / "models" / name / "config.pbtxt").write_text(offer.config(), encoding="utf-8")
            shutil.copy(Path(__file__).with_name("triton_model.py"), folder / "models" / name / "1/model.py")
        stub = _SERVER / "python_backend_stubs" / "{}.{}".format(*sys.version_info) / "triton_python_backend_stub"
        shutil.copytree(_SERVER / "backends/python", folder / "backends/python")
        shutil.copy(stub, folder / "backends/python")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, or start again, and wait until the models are loaded."""
        self.kill()
        command = [
            f"{_SERVER}/bin/tritonserver", "--model-repository", f"{self._folder}/models", "--backend-directory",
            f"{self._folder}/backends", "--grpc-address", "127.0.0.1", "--grpc-port", str(self.port), "--allow-http",
            "false", "--allow-metrics", "false", "--disable-auto-complete-config", "--exit-timeout-secs", "5",
            "--backend-config", f"python,shm-region-prefix-name={self._shared}",
        ]  # fmt: skip
        environment = os.environ | {
            "LD_LIBRARY_PATH": str(_LIBRARIES),
            "MODEL_PATHS": os.pathsep.join([str(PACKAGES), *(path for path in sys.path if "site-packages" in path)]),
        }
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            with grpc.insecure_channel(self.url.removeprefix("grpc://")) as channel:
                grpc.channel_ready_future(channel).result(_START_S)
        except grpc.FutureTimeoutError:
            self.kill()
            raise AssertionError((self._folder / "log").read_text(encoding="utf-8")[-3000:]) from None

    def kill(self) -> None:
        """End the server and its backend at once."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
        for left in Path("/dev/shm").glob(f"{self._shared}*"):
            left.unlink()

    def freeze(self) -> None:
        """Stop the server and its backend; connections stay open."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def hang(self, model: str) -> None:
        """Let a model hang in its own code; the server is well."""
        (self._folder / "models" / model / "stuck").touch()

    def release(self, model: str) -> None:
        (self._folder / "models" / model / "stuck").unlink()

    def end_backends(self) -> None:
        """End only the processes that infer. This Triton does not start them again."""
        self._signal_backends(signal.SIGKILL)

    def freeze_backends(self) -> None:
        """Stop only the processes that infer. This Triton crashes when they go on."""
        self._signal_backends(signal.SIGSTOP)

    def inferred(self, model: str) -> int:
        """Pictures that Triton has counted."""
        with grpc.insecure_channel(self.url.removeprefix("grpc://")) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            found = stub.ModelStatistics(service_pb2.ModelStatisticsRequest(name=model), timeout=30)
        return int(found.model_stats[0].inference_count)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _signal_backends(self, number: signal.Signals) -> None:
        assert self._process is not None
        backends = psutil.Process(self._process.pid).children(recursive=True)
        assert backends
        for one in backends:
            one.send_signal(number)


def triton(folder: Path, offers: Mapping[str, Offer]) -> AbstractContextManager[TritonServer]:
    """A started server; killed when left."""
    return started(TritonServer(folder, offers))
