"""Requests and responses of the control socket, as the server encodes them in JSON and the client decodes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from appliance.flow.trial import ModelTrial

LONGEST_HOLD_S = 24 * 3600.0


class ErrorResponse(Struct, frozen=True):
    """Why a request failed, with any status other than 200."""

    error: str
    code: str = "refused"


class LadderStep(Struct, frozen=True):
    """One throttle level. `heat`: at most, relative to full load, 0-1. `means`: what the cameras get, for a person."""

    heat: float
    means: str


class GovernorStatus(Struct, frozen=True, kw_only=True):
    """`GET /governor`, and the response to a hold or a release."""

    enabled: bool = True
    cur_state: int
    max_state: int
    time_in_state_s: float
    transitions: int
    """Level changes since the start."""
    reason: str
    why: str
    """The reason for a person, as the start of a sentence."""
    held_for_s: float | None
    """None: not held manually."""
    memory: str | None
    """What is given up to save memory; None: nothing."""
    measured: bool
    """Whether `ladder` comes from a benchmark of this device."""
    ladder: tuple[LadderStep, ...]


class GovernorSwitch(Struct, frozen=True):
    """Whether the governor is enabled: the whole response where it is not, the first field of `GovernorStatus`."""

    enabled: bool


class HoldRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /governor/hold`: stay at this throttle level for `for_s` seconds, at most `LONGEST_HOLD_S`."""

    state: int
    for_s: float


class SiteStatus(Struct, frozen=True, kw_only=True):
    """`GET /site/status`, and the response to a drain or undrain.

    `enabled`: the device stands behind a front. `cameras`: cameras and viewers that came through it. `moved`: cameras
    that were asked to move since the start, by reason.
    """

    enabled: bool
    drained: bool = False
    cameras: int = 0
    moved: dict[str, int] = {}


class ModelLocation(Struct, frozen=True):
    """`GET /model`: the folder of the service's models, and its setting `model.name`."""

    models_dir: str
    configured: str


class ActivateRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /model/activate`. `pictures`: a folder on the device to compare on. `force`: ignore the comparison."""

    name: str
    pictures: str | None = None
    force: bool = False


class CameraLine(Struct, frozen=True):
    """One camera of `CameraList`. `presence`: sending, quiet or silent. `silent_s`: since its last frame."""

    name: str
    presence: Literal["sending", "quiet", "silent"]
    silent_s: float


class CameraList(Struct, frozen=True):
    """`GET /cameras`: the cameras that the device knows, and the response to a removal."""

    cameras: tuple[CameraLine, ...]


class ForgetCameraRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /cameras/forget`."""

    name: str


class CameraLabel(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /cameras/label`, and its response: what people call a camera; empty: its name."""

    name: str
    label: str


class EraseRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /erase`: erase the device's data; with `factory_reset` also its settings."""

    factory_reset: bool = False


class ErasePromise(Struct, frozen=True):
    """The response to `POST /erase`: the service is about to be stopped, erased and started again."""

    factory_reset: bool


class TrialResult(Struct, frozen=True, kw_only=True):
    """The response to `POST /model/activate`: how the new model compares with the one it replaces."""

    model: str
    former: str | None
    infer_ms: float
    former_infer_ms: float | None
    likeness: float | None
    """0-1; None: not compared."""
    pictures: int
    stand_in: str | None
    """Why another engine than the configured one runs the model."""

    @staticmethod
    def of(trial: ModelTrial) -> TrialResult:
        """The result of a trial, rounded."""
        return TrialResult(
            model=trial.model,
            former=trial.former,
            infer_ms=round(trial.infer_ms, 2),
            former_infer_ms=None if trial.former_infer_ms is None else round(trial.former_infer_ms, 2),
            likeness=None if trial.likeness is None else round(trial.likeness, 4),
            pictures=trial.pictures,
            stand_in=trial.stand_in,
        )


class AddTokenRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /token/add`."""

    name: str
    role: str


class TokenName(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /token/revoke` and `POST /token/rotate`."""

    name: str


class MadeToken(Struct, frozen=True):
    """A new token. This is the only time that it is shown."""

    name: str
    role: str
    token: str


class TokenLine(Struct, frozen=True):
    """A token, without its secret. `made_at`: seconds since 1970."""

    name: str
    role: str
    made_at: int


class TokenList(Struct, frozen=True):
    """`GET /tokens`."""

    tokens: tuple[TokenLine, ...]


class PairingLine(Struct, frozen=True):
    """A camera that waits for approval. `code`: what the camera shows."""

    name: str
    code: str
    address: str


class PairingList(Struct, frozen=True):
    """`GET /pairings`."""

    waiting: tuple[PairingLine, ...]


class PairingAnswer(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /pairing/approve` and `POST /pairing/refuse`."""

    name: str
    code: str = ""


class AuditLine(Struct, frozen=True):
    """One action. `wall_s`: seconds since 1970. `who`: name and role."""

    wall_s: float
    who: str
    address: str
    action: str
    ok: bool
    fields: dict[str, str | int | float | bool | None]


class AuditList(Struct, frozen=True):
    """`GET /audit`: the newest first."""

    entries: tuple[AuditLine, ...]
