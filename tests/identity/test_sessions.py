"""Sessions are signed, end with their token, and are never adopted from a client."""

from __future__ import annotations

from appliance.identity.sessions import LONGEST_S, Sessions


class Rig:
    def __init__(self) -> None:
        self.now_s = 1000.0
        self.bindings: dict[str, str] = {"anna": "hash of anna's token"}
        self.sessions = self.restarted()

    def restarted(self, key: bytes = b"k" * 32) -> Sessions:
        return Sessions(lambda: key, self.bindings.get, lambda: self.now_s)

    def open(self) -> str:
        value = self.sessions.open("anna")
        assert value is not None
        return value


def test_a_session_names_its_credential_also_after_a_restart() -> None:
    rig = Rig()
    value = rig.open()
    assert rig.sessions.read(value) == "anna"
    assert rig.restarted().read(value) == "anna"
    assert rig.open() != value


def test_a_forged_session_is_worthless() -> None:
    rig = Rig()
    value = rig.open()
    content, _, signature = value.rpartition("~")
    credential, expires, number = content.split("~")
    later = f"{credential}~{int(expires) + 1}~{number}~{signature}"
    for forged in ("", "~~~", "anna", value[:-1], value + "0", later, value.replace("anna", "bert"), "\ud800~1~2~3"):
        assert rig.sessions.read(forged) is None
    assert rig.restarted(key=b"x" * 32).read(value) is None
    assert rig.sessions.open("bert") is None


def test_a_session_ends_with_its_token_its_time_or_its_sign_out() -> None:
    rig = Rig()
    value, other = rig.open(), rig.open()
    rig.sessions.close(other)
    assert rig.sessions.read(other) is None
    assert rig.sessions.read(value) == "anna"
    rig.bindings["anna"] = "hash of anna's new token"
    assert rig.sessions.read(value) is None
    value = rig.open()
    del rig.bindings["anna"]
    assert rig.sessions.read(value) is None
    rig.bindings["anna"] = "hash"
    value = rig.open()
    rig.now_s += LONGEST_S + 1
    assert rig.sessions.read(value) is None


def test_a_session_that_is_used_is_renewed_once_a_day_and_stays_the_same_one() -> None:
    rig = Rig()
    first = value = rig.open()
    for _ in range(100):
        assert rig.sessions.renewed(value) is None
        rig.now_s += 24 * 3600
        renewed = rig.sessions.renewed(value)
        assert renewed is not None
        assert rig.sessions.read(renewed) == "anna"
        value = renewed
    assert rig.sessions.read(first) is None
    former, rig.now_s = value, rig.now_s + 24 * 3600
    value = rig.sessions.renewed(former) or ""
    rig.sessions.close(value)
    assert rig.sessions.read(former) is None
    assert rig.sessions.renewed(former) is None
    assert rig.sessions.renewed(first) is None
