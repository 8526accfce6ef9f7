"""A certificate chain and its private key on disk, and what is known about them.

The service and the agent read two facts of a certificate, its public key and its dates. Python's ssl module does not
expose them, and the package that does takes 18 MB of memory, so this file reads them from the DER structure (RFC 5280).
"""

from __future__ import annotations

import datetime
import hashlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance import files
from appliance.errors import ApplianceError

MOST_BYTES = 1_000_000
_EXPLICIT_VERSION, _UTC_TIME, _GENERALIZED_TIME = 0xA0, 0x17, 0x18
_BEGIN = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"


class CertificateError(ApplianceError):
    """A certificate or its key cannot be used; the text names the file and what to do."""

    code = "certificate_invalid"


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says. Digests are SHA-256, in lower-case hexadecimal digits."""

    fingerprint: str
    """Of the certificate, as browsers show it. It changes when the certificate is renewed."""
    key_pin: str
    """Of the public key (SubjectPublicKeyInfo). It stays when the certificate is renewed."""
    not_before_s: float
    not_after_s: float
    """Seconds since 1970."""

    @property
    def fingerprint_in_pairs(self) -> str:
        """`AB:CD:…`, as browsers write it."""
        return ":".join(self.fingerprint[i : i + 2] for i in range(0, len(self.fingerprint), 2)).upper()


def facts_of(der: bytes) -> CertificateFacts:
    """Read a certificate in DER form. Raises ValueError."""
    fields = list(_elements(_content(_content(der))))
    if fields and fields[0][0] == _EXPLICIT_VERSION:
        del fields[0]
    if len(fields) < 6:
        raise ValueError("not an X.509 certificate")
    # serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo
    validity, public_key = fields[3][1], fields[5][1]
    not_before_s, not_after_s = (_time(tag, _content(whole)) for tag, whole in _elements(_content(validity)))
    return CertificateFacts(
        hashlib.sha256(der).hexdigest(), hashlib.sha256(public_key).hexdigest(), not_before_s, not_after_s
    )


def read(certificate: Path, key: Path) -> CertificateFacts:
    """Check that a PEM chain and its key can be used together, and read its first certificate.

    Raises CertificateError.
    """
    contents: list[bytes] = []
    for path in (certificate, key):
        try:
            contents.append(files.read_plain(path, MOST_BYTES))
        except OSError as error:
            raise CertificateError(
                f"cannot read {path}: {error.strerror}. The account of the service must be able to read it"
            ) from None
    try:
        text = contents[0].decode("ascii", errors="replace")
        start = text.index(_BEGIN)
        facts = facts_of(ssl.PEM_cert_to_DER_cert(text[start : text.index(_END, start) + len(_END)]))
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise CertificateError(f"{certificate} and {key} are unusable: {_why(error)}") from None
    return facts


def _no_password() -> str:
    """Keep OpenSSL from asking on the terminal."""
    raise ValueError("the key is encrypted; store it without a password, readable only by the service")


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key does not belong to the certificate"
        return "both must be PEM files, the certificate with its chain, the key without a password"
    if isinstance(error, ValueError) and "substring" not in str(error):
        return str(error)
    return "the certificate must be a PEM file with its chain"


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The tag and the whole encoding of each element."""
    at = 0
    while at < len(content):
        header, length = _header(content[at:])
        end = at + header + length
        if end > len(content):
            raise ValueError("the certificate is cut off")
        yield content[at], content[at:end]
        at = end


def _content(element: bytes) -> bytes:
    header, length = _header(element)
    if len(element) < header + length:
        raise ValueError("the certificate is cut off")
    return element[header : header + length]


def _header(element: bytes) -> tuple[int, int]:
    """The lengths of an element's header and content."""
    if len(element) < 2:
        raise ValueError("the certificate is cut off")
    first = element[1]
    if first < 0x80:
        return 2, first
    count = first & 0x7F
    return 2 + count, int.from_bytes(element[2 : 2 + count], "big")


def _time(tag: int, content: bytes) -> float:
    form = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}.get(tag)
    if form is None:
        raise ValueError("the certificate has no valid dates")
    moment = datetime.datetime.strptime(content.decode("ascii"), form)
    if tag == _UTC_TIME and moment.year >= 2050:  # RFC 5280, section 4.1.2.5.1
        moment = moment.replace(year=moment.year - 100)
    return moment.replace(tzinfo=datetime.timezone.utc).timestamp()
