"""Why a connection failed, for a person."""

from __future__ import annotations

import errno
import os

_NOT_ALLOWED = os.strerror(errno.EPERM)


def with_hint(reason: str) -> str:
    """The reason with what to do about it, where the operating system's own text does not say so."""
    if _NOT_ALLOWED in reason:
        return f"{reason}. The service may reach private networks only; allow the address with IPAddressAllow="
    return reason
