"""What each HTTP route takes and answers, for the OpenAPI document. A route without an entry fails a test.

Types of answers are those that the handlers return; `media` says that an answer is no JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from appliance.web.foreign_payload_types import (
    DeepStackPayload,
    DeepStackStatusPayload,
    KserveAnswerPayload,
    KserveModelPayload,
    KserveReadyPayload,
    KserveServerPayload,
)
from appliance.web.kserve_tensors import InferRequest
from appliance.web.payload_types import (
    AuditPayload,
    CameraHistoryPayload,
    LivePayload,
    ReadyPayload,
    ResultsPayload,
    SessionPayload,
    SignedOutPayload,
)
from appliance.web.session import SignIn

PICTURES = ("image/jpeg", "image/png", "image/webp", "application/octet-stream")
_BINARY = "application/octet-stream"
AreasByKind = Annotated[dict[str, dict[str, Any]], Meta(description="`zones` and `masks`, each by name")]
OfferedActions = Annotated[dict[str, Any], Meta(description="`actions`: the names of those that the caller may do now")]
_Number01 = Annotated[float, Meta(ge=0, le=1)]
_CAMERA: Mapping[str, Any] = {"camera": Annotated[str, Meta(description="Which camera this is; also X-Camera")]}


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one route."""

    summary: str
    answer: Any = None
    """The type of the JSON of the answer; None: it is no JSON."""
    media: tuple[str, ...] = ()
    """The content types of the answer in addition to JSON."""
    schema: str = ""
    """Name of a schema file that describes the answer, or describes it too."""
    body: Any = None
    """The type of a JSON body; `ACTION`: that of the action."""
    body_media: tuple[str, ...] = ()
    """Content types of a body that is no JSON."""
    form: Mapping[str, str] | None = None
    """Format of the fields of a multipart body."""
    query: Mapping[str, Any] | None = None
    """The type of each parameter."""
    unready: bool = False
    """The answer also comes with 503."""


ACTION = object()
"""The body of an action."""
_DEEPSTACK: Mapping[str, Any] = {
    "form": {"image": "binary", "min_confidence": "", "api_key": "", "camera": ""},
    "body_media": PICTURES,
    "query": {"min_confidence": _Number01, "api_key": str, **_CAMERA},
}
_KEY: Mapping[str, Any] = {"api_key": str}
_PAGE = ("text/html",)


def _both(path: str, operation: Operation) -> dict[tuple[str, str], Operation]:
    """DeepStack's clients query with GET or POST."""
    return {("GET", path): operation, ("POST", path): operation}


def _status(name: str, summary: str) -> dict[tuple[str, str], Operation]:
    operation = Operation(summary, DeepStackStatusPayload)
    return _both(f"/v1/status/{name}", operation) | _both(f"/v1/server/status/{name}", operation)


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/"): Operation("The web page", media=_PAGE),
    ("GET", "/sw.js"): Operation("The service worker of the page", media=("text/javascript",)),
    ("GET", "/page/{digest}/{name}"): Operation("A file of the page", media=("*/*",)),
    ("GET", "/.well-known/security.txt"): Operation("Where to report a vulnerability", media=("text/plain",)),
    ("GET", "/openapi.json"): Operation("This document", dict[str, Any]),
    ("GET", "/asyncapi.json"): Operation("The AsyncAPI document of Socket.IO and MQTT", dict[str, Any]),
    ("GET", "/health"): Operation(
        "The state of the device: JSON, text or the page, by the header Accept",
        schema="health",
        media=("text/html", "text/plain"),
        unready=True,
    ),
    ("GET", "/health/live"): Operation("Whether the service runs", LivePayload),
    ("GET", "/health/ready"): Operation("Whether the self-test has passed", ReadyPayload, unready=True),
    ("GET", "/health/history"): Operation(
        "The past hour or day as columns, of the device or of a camera",
        CameraHistoryPayload,
        schema="history",
        query={"span": Literal["hour", "day"], "camera": str},
    ),
    ("GET", "/metrics"): Operation("Metrics for Prometheus", media=("text/plain",)),
    ("GET", "/cameras/{key}/latest.jpg"): Operation("The latest picture of a camera", media=PICTURES[:3]),
    ("GET", "/cameras/{camera}/areas"): Operation("The zones and masks of a camera", AreasByKind),
    ("GET", "/events/{key}/picture.jpg"): Operation("The best picture of an event", media=PICTURES[:3]),
    ("POST", "/detect"): Operation(
        "Detect objects in one picture",
        ResultsPayload,
        body_media=PICTURES,
        query={
            "min_confidence": _Number01,
            "classes": Annotated[str, Meta(description="Names of classes, separated by commas")],
            "frame_id": Annotated[str, Meta(max_length=128)],
            "captured_at": float,
            **_CAMERA,
        },
    ),
    ("POST", "/v1/vision/detection"): Operation(
        "Detect objects, for DeepStack's clients", DeepStackPayload, **_DEEPSTACK
    ),
    ("POST", "/v1/vision/custom/{model}"): Operation("The same, by a model's name", DeepStackPayload, **_DEEPSTACK),
    **_both("/v1/vision/custom/list", Operation("The names of the models", DeepStackStatusPayload, query=_KEY)),
    **_status("ping", "Whether the API is there"),
    **_status("version", "The version of the service"),
    **_status("updateavailable", "Always false: updates are installed on the device"),
    ("GET", "/v2"): Operation("KServe v2: about this server", KserveServerPayload),
    ("GET", "/v2/health/live"): Operation("KServe v2: whether the service runs", LivePayload),
    ("GET", "/v2/health/ready"): Operation("KServe v2: whether it is ready", ReadyPayload, unready=True),
    ("GET", "/v2/models/{model}"): Operation("KServe v2: about the active model", KserveModelPayload),
    ("GET", "/v2/models/{model}/ready"): Operation("KServe v2: whether it is ready", KserveReadyPayload, unready=True),
    ("POST", "/v2/models/{model}/infer"): Operation(
        "KServe v2: detect objects in one picture",
        KserveAnswerPayload,
        media=(_BINARY,),
        body=InferRequest,
        body_media=(_BINARY,),
        query=_CAMERA,
    ),
    ("GET", "/site"): Operation("The devices of the site, as each describes itself", dict[str, Any]),
    ("GET", "/session"): Operation("Who the caller is", SessionPayload),
    ("POST", "/session"): Operation("Sign in: sets a cookie", SessionPayload, body=SignIn),
    ("DELETE", "/session"): Operation("Sign out", SignedOutPayload),
    ("GET", "/actions"): Operation("What the caller may do", OfferedActions),
    ("POST", "/actions/{name}"): Operation("Do it", dict[str, Any], body=ACTION),
    ("GET", "/actions/log"): Operation("The last lines of the log", media=("text/plain",)),
    ("GET", "/actions/audit"): Operation("What was done, and by whom", AuditPayload),
    ("GET", "/actions/support_bundle"): Operation("An archive for support", media=("application/gzip",)),
}
UNDESCRIBED = frozenset({"/socket.io/", "/v1{path}", "/v2{path}"})
"""Routes that are not in the document: Socket.IO is in AsyncAPI's, the others answer that a route does not exist."""
