"""`python -m appliance.tls.make_certificate FOLDER SECONDS`: write `key.pem`, unless it is usable, and a new
`certificate.pem` that is valid from SECONDS since 1970, less a day.

The names in it are those of this machine. No one checks them against a self-signed certificate, except a browser in
which somebody has installed it.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import sys
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance import files
from appliance.tls.certificate import MOST_BYTES
from appliance.tls.made_here import VALID_DAYS, files_in


def main(folder: Path, now_s: float) -> None:
    """Write both files. Raises OSError."""
    where = files_in(folder)
    os.umask(0o077)
    folder.mkdir(parents=True, exist_ok=True)
    key = _key(where.key)
    certificate = make(key, datetime.datetime.fromtimestamp(now_s, datetime.timezone.utc), _names())
    files.write(where.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def make(key: ec.EllipticCurvePrivateKey, now: datetime.datetime, names: list[x509.GeneralName]) -> x509.Certificate:
    """A self-signed server certificate."""
    begin = now - datetime.timedelta(days=1)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _host_name()[:64])])
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, hashes.SHA256())


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key in this file; a new one if there is none or it is damaged."""
    try:
        kept = serialization.load_pem_private_key(files.read_plain(path, MOST_BYTES), password=None)
        if isinstance(kept, ec.EllipticCurvePrivateKey):
            return kept
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):  # the last one: a damaged name of its algorithm
        pass
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files.write(path, pem, 0o600)
    return key


def _host_name() -> str:
    return socket.gethostname().split(".")[0] or "appliance"


def _names() -> list[x509.GeneralName]:
    host = _host_name()
    names: list[x509.GeneralName] = []
    for name in dict.fromkeys((host, f"{host}.local", socket.gethostname(), "localhost")):
        if name.isascii():
            names.append(x509.DNSName(name))
    return [*names, x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.IPAddress(ipaddress.ip_address("::1"))]


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
