"""A model for Triton's Python backend: OpenVINO behind one input and one output. Triton imports it, no test does."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = os.environ["MODEL_PATHS"].split(os.pathsep)  # the backend's Python ignores PYTHONPATH

import json  # noqa: E402

import numpy as np  # noqa: E402
import openvino  # noqa: E402
import triton_python_backend_utils as triton  # type: ignore[import-not-found]  # noqa: E402  # Triton's own


class TritonPythonModel:
    """The name and the methods are those that the backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        network = json.loads(args["model_config"])["parameters"]["network"]["string_value"]
        self.compiled = openvino.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

        self.stuck = Path(args["model_repository"]) / "stuck"
        """A file: the model hangs while it exists."""

    def execute(self, requests: list[Any]) -> list[Any]:
        while self.stuck.exists():
            time.sleep(0.05)
        return [self._answer(triton.get_input_tensor_by_name(one, "images").as_numpy()) for one in requests]

    def _answer(self, pixels: Any) -> Any:
        image = pixels.astype(np.float32)
        if pixels.dtype == np.uint8:
            image = image.transpose(0, 3, 1, 2) / 255
        return triton.InferenceResponse([triton.Tensor("output0", self.compiled([image])[0])])
