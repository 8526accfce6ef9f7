"""The URLs of the device as text and as a QR code, for the login screen of a text console."""

from __future__ import annotations

from collections.abc import Sequence

import segno

from appliance.tls.certificate import CertificateFacts

_HALF_BLOCKS = {(False, False): "█", (False, True): "▀", (True, False): "▄", (True, True): " "}
"""Two modules, one above the other, in one character. A console is dark, so the light modules are drawn."""
_QUIET_MODULES = 4
"""The light border around a code that ISO/IEC 18004 requires."""


def urls_with_qr_code(urls: Sequence[str], certificate: CertificateFacts | None = None, token: str = "") -> str:
    """The URLs, the first one as a QR code, and the certificate's fingerprint to compare with what a browser shows.

    The pin of a URL is only in the QR code: nobody types it. With the operator's first `token`, the code signs in.
    """
    typed = " or ".join(url.partition("#")[0] for url in urls)
    compared = [f"Certificate SHA-256: {certificate.fingerprint_in_pairs}"] if certificate else []
    shown = [f"Operator's token, until it is used: {token}"] if token else []
    code = qr_code(sign_in_url(urls[0], token) if token else urls[0])
    return "\n".join([f"Appliance: {typed}", *compared, *shown, *code])


def sign_in_url(url: str, token: str) -> str:
    """The page's address that signs in. The token is in the fragment, which a browser never sends."""
    return f"{url.partition('#')[0]}#token={token}"


def qr_code(text: str) -> list[str]:
    """The smallest QR code that holds the text, in half blocks, for light characters on a dark background."""
    code = segno.make(text, micro=False, error="l")
    rows = [[bool(module) for module in row] for row in code.matrix_iter(border=_QUIET_MODULES)]
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    return [
        "".join(_HALF_BLOCKS[pair] for pair in zip(above, below, strict=True))
        for above, below in zip(rows[::2], rows[1::2], strict=True)
    ]
