"""The types of the payloads in the formats of others: DeepStack, and KServe v2.

Like `payload_types`, they are what functions return and what the OpenAPI document is generated from.
"""

from __future__ import annotations

from typing import Annotated, TypedDict

from msgspec import Meta

from appliance.web.payload_types import Confidence, Repeated


class PredictionPayload(TypedDict):
    """An object in the format of DeepStack, px."""

    confidence: Confidence
    label: str
    x_min: int
    y_min: int
    x_max: int
    y_max: int


class DeepStackPayload(TypedDict):
    """A result in the format of DeepStack and CodeProject.AI."""

    success: bool
    predictions: list[PredictionPayload]
    count: int
    message: str
    command: str
    moduleId: str
    executionProvider: str | None
    canUseGPU: bool
    inferenceMs: int
    processMs: int
    analysisRoundTripMs: int
    duration: Annotated[float, Meta(description="s")]
    cached: Repeated
    timestampUTC: str


class _DeepStackStatus(TypedDict):
    success: bool


class DeepStackStatusPayload(_DeepStackStatus, total=False):
    """An answer to a status query of DeepStack's clients."""

    message: str
    version: str
    updateAvailable: bool
    models: list[str]


class KserveServerPayload(TypedDict):
    """Metadata of the server."""

    name: str
    version: str
    extensions: list[str]


class KserveTensorPayload(TypedDict):
    """An input or output of a model; -1: of any size."""

    name: str
    datatype: str
    shape: list[int]


class KserveModelPayload(TypedDict):
    """Metadata of a model."""

    name: str
    platform: str
    inputs: list[KserveTensorPayload]
    outputs: list[KserveTensorPayload]


class KserveReadyPayload(TypedDict):
    name: str
    ready: bool


class KserveOutputPayload(KserveTensorPayload, total=False):
    """A tensor with its data, in JSON or behind it."""

    data: list[float | str]
    parameters: dict[str, int]


class _KserveAnswer(TypedDict):
    model_name: str
    outputs: list[KserveOutputPayload]


class KserveAnswerPayload(_KserveAnswer, total=False):
    """The result of an inference."""

    id: str
