"""Who may do what: roles, the permissions of each, and the identity of a caller."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.errors import ApplianceError


class May(enum.Enum):
    """One permission."""

    OPERATE = "operate"
    """Change the device: models, settings, tokens, and everything else that has no permission of its own."""
    STATE = "state"
    """Read what the device reports about itself: findings, cameras, serial number, versions, history."""
    VIEW = "view"
    """See pictures and detections of all cameras."""
    SEND = "send"
    """Push frames as a camera."""
    DETECT = "detect"
    """Use the HTTP API for detection."""
    METRICS = "metrics"
    """Read the metrics for Prometheus."""


class Role(enum.Enum):
    """What a token is for."""

    OPERATOR = "operator"
    VIEWER = "viewer"
    CAMERA = "camera"
    INTEGRATION = "integration"
    METRICS = "metrics"


PERMISSIONS: Mapping[Role, frozenset[May]] = {
    Role.OPERATOR: frozenset(May),
    Role.VIEWER: frozenset({May.STATE, May.VIEW}),
    Role.CAMERA: frozenset({May.SEND}),
    Role.INTEGRATION: frozenset({May.STATE, May.DETECT}),
    Role.METRICS: frozenset({May.METRICS}),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller, and what it may do."""

    name: str
    """The name of its token, `loopback` for a program on the device, or `anyone`."""
    role: Role | None
    """None: a stranger."""
    address: str = ""
    may: frozenset[May] = field(default_factory=frozenset)
    camera: str | None = None
    """The only name that it may push frames under; None: any."""
    credential: str | None = None
    """The id of the token or setting that it presented; None: it presented none."""
    session: str = field(default="", repr=False)
    """The value of the session of the page that it came with; empty: it came with none."""
    issued: bool = False
    """Its token was made by `appliance token`, not written into the settings."""

    def __str__(self) -> str:
        return f"{self.name} ({self.role.value if self.role else 'no role'})"


def of_role(name: str, role: Role, address: str = "", credential: str | None = None) -> Identity:
    """An identity with all permissions of its role. A camera may push under its own name only."""
    camera = name if role is Role.CAMERA else None
    return Identity(name, role, address, PERMISSIONS[role], camera, credential)


class AccessDenied(ApplianceError):
    """The caller lacks a permission.

    Codes: unauthorized (present a token), forbidden (another role is required), too_many_attempts, setup_needed (no
    operator has a token yet), pairing_pending (an operator has to approve the camera), pairing_full (too many cameras
    wait for that), name_invalid, name_taken, name_mismatch (the URL names another camera), too_many_connections.
    `retry_after_s` None: the same attempt will never succeed.
    """

    code = "unauthorized"

    def __init__(self, message: str, code: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message, code)
        self.retry_after_s = retry_after_s


def check(who: Identity, permission: May) -> None:
    """Raise AccessDenied if the caller lacks the permission."""
    if permission in who.may:
        return
    if who.credential is None:
        raise AccessDenied(
            "unauthorized: this needs a token. Create one on the device: sudo appliance token add NAME --role ROLE"
        )
    raise AccessDenied(
        f"forbidden: the token of {who} does not permit this ('{permission.value}')",
        "forbidden",
    )
