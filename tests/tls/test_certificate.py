"""What is read from a certificate, and what is said about one that is unusable."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import given
from hypothesis import strategies as st

from appliance.tls import certificate
from appliance.tls.certificate import CertificateError
from tests.tls import certificates


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("year", [2049, 2050, 2120])
def test_the_facts_are_those_that_the_cryptography_package_reads(tmp_path: Path, kind: str, year: int) -> None:
    end = datetime.datetime(year, 12, 31, 23, 59, 59, tzinfo=datetime.timezone.utc)
    written = certificates.write(tmp_path, kind=kind, end=end)
    facts = certificate.read(written.certificate, written.key)
    key = written.parsed.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert facts.fingerprint == written.parsed.fingerprint(hashes.SHA256()).hex()
    assert facts.key_pin == hashlib.sha256(key).hexdigest()
    assert facts.not_after_s == end.timestamp()
    assert facts.fingerprint_in_pairs.startswith(f"{facts.fingerprint[:2]}:{facts.fingerprint[2:4]}:".upper())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    written = certificates.write(tmp_path)
    with pytest.raises(CertificateError, match=r"cannot read .*none\.pem: No such file"):
        certificate.read(written.certificate, tmp_path / "none.pem")


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    one, other = certificates.write(tmp_path / "one"), certificates.write(tmp_path / "other")
    with pytest.raises(CertificateError, match="the key does not belong to the certificate"):
        certificate.read(one.certificate, other.key)


def test_an_encrypted_key_is_refused_without_asking_for_its_password(tmp_path: Path) -> None:
    written = certificates.write(tmp_path, password=b"secret")
    with pytest.raises(CertificateError, match="the key is encrypted; store it without a password"):
        certificate.read(written.certificate, written.key)


@pytest.mark.parametrize(
    "text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"]
)
def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path, text: str) -> None:
    written = certificates.write(tmp_path)
    written.certificate.write_text(text)
    with pytest.raises(CertificateError, match="unusable"):
        certificate.read(written.certificate, written.key)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_certificate_or_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whatever its text is
        certificate.facts_of(data)


def test_a_certificate_with_any_damaged_bit_is_one_or_a_value_error(tmp_path: Path) -> None:
    whole = certificates.write(tmp_path).parsed.public_bytes(serialization.Encoding.DER)
    for place in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        with contextlib.suppress(ValueError):
            certificate.facts_of(bytes(damaged))
