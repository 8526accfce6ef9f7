"""The certificate that a device makes for itself.

Rules of this file:
- It is self-signed: a browser warns once, and the person compares the fingerprint. Programs pin the key.
- The key stays for the life of the device, so pins stay valid. The certificate is renewed with the same key, because
  Apple's browsers refuse one that is valid for more than 825 days.
- A board without a clock may believe that it is 1970. Dates before the release of this program are not believed.
- It is made in a child process: the package that makes it takes 18 MB of memory.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from appliance import programs
from appliance.tls import certificate
from appliance.tls.certificate import CertificateError, CertificateFacts

VALID_DAYS = 820
_DAY_S = 86_400.0
_RENEW_BEFORE_S = 60 * _DAY_S
EARLIEST_S = 1_790_000_000.0
"""September 2026: no device with this program has run before."""
_MAKE_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Files:
    """Where a certificate and its key are."""

    certificate: Path
    key: Path


def files_in(folder: Path) -> Files:
    return Files(folder / "certificate.pem", folder / "key.pem")


def is_due(facts: CertificateFacts, now_s: float) -> bool:
    """Whether the certificate is to be renewed. A clock that is not believed renews nothing."""
    if now_s < EARLIEST_S:
        return False
    return not facts.not_before_s <= now_s < facts.not_after_s - _RENEW_BEFORE_S


def ensure(folder: Path, now_s: float) -> Files:
    """Make the certificate if it is missing or unusable, renew it if it is due. Raises CertificateError."""
    files = files_in(folder)
    try:
        if not is_due(certificate.read(files.certificate, files.key), now_s):
            return files
    except CertificateError:
        pass  # missing or damaged: a usable key is kept
    command = [sys.executable, "-m", "appliance.tls.make_certificate", str(folder), str(max(now_s, EARLIEST_S))]
    try:
        programs.run(command, timeout_s=_MAKE_WITHIN_S)
    except programs.ProgramFailed as error:
        raise CertificateError(f"cannot make a certificate in {folder}: {error}") from None
    return files
