"""Which certificate the server presents while files come, change and break."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from appliance.tls import made_here
from appliance.tls.server import ServerTls, TlsRules, TlsState, context_of
from tests.tls import certificates
from tests.tls.certificates import Written


def rules(written: Written) -> TlsRules:
    return TlsRules(enabled=True, certificate=written.certificate, key=written.key)


def replace(old: Written, new: Written) -> None:
    """As an ACME client does it: one file after the other."""
    shutil.copy(new.certificate, old.certificate)
    shutil.copy(new.key, old.key)


def presented(tls: ServerTls) -> TlsState:
    tls.refresh()
    assert tls.state is not None
    return tls.state


def test_without_files_the_device_presents_its_own(tmp_path: Path) -> None:
    tls = ServerTls(TlsRules(enabled=True), tmp_path)
    assert presented(tls).made_here
    assert tls.context is not None


def test_only_ciphers_with_forward_secrecy_and_authentication_are_accepted(tmp_path: Path) -> None:
    files = made_here.ensure(tmp_path, time.time())
    names = [cipher["name"] for cipher in context_of(files).get_ciphers()]
    assert len(names) > 3
    assert all(name.startswith(("TLS_", "ECDHE-")) and ("GCM" in name or "CHACHA20" in name) for name in names)


def test_switched_off_there_is_nothing_to_present(tmp_path: Path) -> None:
    tls = ServerTls(TlsRules(enabled=True), tmp_path)
    tls.refresh()
    tls.rules = TlsRules(enabled=False)
    tls.refresh()
    assert tls.context is None
    assert tls.state is None


def test_a_renewed_certificate_is_presented_without_a_restart(tmp_path: Path) -> None:
    written = certificates.write(tmp_path / "first")
    tls = ServerTls(rules(written), tmp_path / "own")
    before, context = presented(tls), tls.context
    assert not before.made_here
    assert presented(tls) is before, "unchanged files are not read again"
    replace(written, certificates.write(tmp_path / "second"))
    assert presented(tls).facts != before.facts
    assert tls.context is not context


def test_a_broken_pair_keeps_the_last_certificate_and_reports_why(tmp_path: Path) -> None:
    written = certificates.write(tmp_path / "first")
    tls = ServerTls(rules(written), tmp_path / "own")
    before, context = presented(tls), tls.context
    second = certificates.write(tmp_path / "second")
    shutil.copy(second.certificate, written.certificate)
    state = presented(tls)
    assert state.facts == before.facts
    assert state.problem is not None
    assert "does not belong" in state.problem
    assert tls.context is context
    shutil.copy(second.key, written.key)
    assert presented(tls).problem is None
    assert presented(tls).facts != before.facts


def test_a_certificate_that_was_never_usable_is_replaced_by_the_devices_own(tmp_path: Path) -> None:
    tls = ServerTls(TlsRules(True, tmp_path / "none.pem", tmp_path / "none.key"), tmp_path / "own")
    state = presented(tls)
    assert state.made_here
    assert state.problem is not None
    assert "none.pem: No such file" in state.problem


def test_without_any_certificate_there_is_no_context_and_a_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    tls = ServerTls(TlsRules(enabled=True), tmp_path / "file" / "own")
    tls.refresh()
    tls.refresh()
    assert tls.context is None
    assert tls.problem is not None
    assert len(caplog.records) == 1, "the same problem is logged once"


def test_a_certificate_that_cannot_be_renewed_is_presented_and_the_reason_reported(tmp_path: Path) -> None:
    """As on a full disk; here no certificate can have the date."""
    made_here.ensure(tmp_path, time.time())
    tls = ServerTls(TlsRules(enabled=True), tmp_path, wall_clock=lambda: 1e12)
    state = presented(tls)
    assert tls.context is not None
    assert state.made_here
    assert state.problem is not None
    assert "cannot make a certificate" in state.problem


def test_only_the_operators_certificate_is_reported_before_it_expires(tmp_path: Path) -> None:
    written = certificates.write(tmp_path / "first")
    theirs = presented(ServerTls(rules(written), tmp_path / "own"))
    own = presented(ServerTls(TlsRules(enabled=True), tmp_path / "own"))
    assert not theirs.expires_soon(time.time())
    assert theirs.expires_soon(theirs.facts.not_after_s - 86_400)
    assert not own.expires_soon(own.facts.not_after_s - 86_400)
