"""The server's side of TLS: which certificate it presents, and what it agrees to.

Rules of this file:
- A certificate from the operator's files is used while it is usable. Otherwise the device presents its own and reports
  why: encrypted with a certificate that clients may refuse is better than unreachable.
- Files are read again when they have changed. A pair that does not fit together, as between the two steps of replacing
  it, changes nothing; the next look finds both.
- Python itself decides the rest: no TLS 1.0 or 1.1, no compression, ephemeral keys only.
"""

from __future__ import annotations

import logging
import os
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from appliance.ports import Clock
from appliance.tls import certificate, made_here
from appliance.tls.certificate import CertificateError, CertificateFacts
from appliance.tls.made_here import Files

log = logging.getLogger(__name__)

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2; those of TLS 1.3 are all sound. The client chooses: on a board without AES instructions, ChaCha20."""
_EXPIRES_SOON_S = 14 * 86_400.0


@dataclass(frozen=True, slots=True)
class TlsRules:
    """See `[tls]` in the settings."""

    enabled: bool
    certificate: Path | None = None
    key: Path | None = None
    """The operator's files; None: the device makes its own."""


@dataclass(frozen=True, slots=True)
class TlsState:
    """What the server presents now."""

    facts: CertificateFacts
    made_here: bool
    """The device's own certificate, not one from the operator's files."""
    problem: str | None = None
    """Why the operator's certificate is not used, or the device's own is not renewed."""

    def expires_soon(self, now_s: float) -> bool:
        """Whether the operator must renew the certificate. The device renews its own."""
        return not self.made_here and self.facts.not_after_s - now_s < _EXPIRES_SOON_S


def context_of(files: Files) -> ssl.SSLContext:
    """A context that presents this certificate. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(files.certificate, files.key)
    return context


class ServerTls:
    """The certificate in force. `own_folder`: where the device keeps its own."""

    def __init__(self, rules: TlsRules, own_folder: Path, wall_clock: Clock = time.time) -> None:
        self.rules, self._own_folder, self._wall_clock = rules, own_folder, wall_clock
        self.context: ssl.SSLContext | None = None
        """None: TLS is off, or there is no certificate."""
        self.state: TlsState | None = None
        self._seen: tuple[object, ...] = ()
        self.problem: str | None = None
        """Why there is no certificate at all."""

    def refresh(self) -> None:
        """Present what the rules and files now ask for. Reads files and may start a program: not for the event loop."""
        if not self.rules.enabled:
            self.context = self.state = self.problem = None
            self._seen = ()
            return
        try:
            chosen, problem = self._choose()
            seen = (chosen, problem, _stamp(chosen.certificate), _stamp(chosen.key))
            if seen == self._seen:
                return
            facts = certificate.read(chosen.certificate, chosen.key)
            context = context_of(chosen)
        except (CertificateError, OSError) as error:
            self._report(str(error))
            return
        made = chosen == made_here.files_in(self._own_folder)
        if problem is not None and self.state is not None and not self.state.made_here:
            # Keep the operator's last usable certificate: clients trust it.
            self.state = TlsState(self.state.facts, False, problem)
        else:
            self.context, self.state = context, TlsState(facts, made, problem)
            log.warning(
                "TLS certificate: SHA-256 %s, key pin %s", facts.fingerprint_in_pairs, facts.key_pin,
                extra={"kind": "tls"},
            )  # fmt: skip
        self._seen, self.problem = seen, None
        if problem is not None:
            log.error("%s", problem, extra={"code": CertificateError.code})

    def _choose(self) -> tuple[Files, str | None]:
        """The files to present, and why they are not the operator's. Raises CertificateError."""
        problem = None
        if self.rules.certificate is not None and self.rules.key is not None:
            files = Files(self.rules.certificate, self.rules.key)
            try:
                certificate.read(files.certificate, files.key)
                return files, None
            except CertificateError as error:
                problem = str(error)
        own = made_here.files_in(self._own_folder)
        try:
            made_here.ensure(self._own_folder, self._wall_clock())
        except CertificateError as error:
            if not _are_usable(own):
                raise
            problem = problem or str(error)  # it is due, and cannot be renewed: better than none
        return own, problem

    def _report(self, problem: str) -> None:
        if problem != self.problem:
            log.error("%s", problem, extra={"code": CertificateError.code})
        self.problem = problem


def _are_usable(files: Files) -> bool:
    try:
        certificate.read(files.certificate, files.key)
    except CertificateError:
        return False
    return True


def _stamp(path: Path) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, found.st_ino
