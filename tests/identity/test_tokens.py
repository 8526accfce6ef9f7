"""Tokens: made once in clear, kept as keyed hashes, and void as soon as they are revoked."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from appliance.identity.roles import Role
from appliance.identity.tokens import FILE, MOST, TokenError, TokenStore, role_of


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path / "state" / FILE)


def test_a_token_has_130_random_bits_and_matches_its_record_only(store: TokenStore) -> None:
    made, other = store.add("anna", Role.OPERATOR), store.add("gate", Role.CAMERA)
    secret = made.token.rpartition("_")[2]
    assert len(secret) * 5 >= 128
    assert store.match(made.token) == made.record
    swapped = f"edge_{made.record.id}_{other.token.rpartition('_')[2]}"
    for wrong in ("", "edge_", made.token[:-1], made.token.upper(), made.token + "x", swapped, "\ud800", "é"):
        assert store.match(wrong) is None


def test_the_file_holds_no_secret_and_only_its_owner_reads_it(store: TokenStore, tmp_path: Path) -> None:
    made = store.add("anna", Role.OPERATOR)
    path = tmp_path / "state" / FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made.token not in path.read_text()
    assert made.token.rpartition("_")[2] not in path.read_text()
    assert json.loads(path.read_text())["tokens"][0]["name"] == "anna"


def test_two_devices_keep_different_hashes_of_one_token(tmp_path: Path) -> None:
    one, two = TokenStore(tmp_path / "a"), TokenStore(tmp_path / "b")
    assert one.adopt("gate", Role.CAMERA, "x" * 40).digest != two.adopt("gate", Role.CAMERA, "x" * 40).digest


def test_another_program_sees_changes_and_a_revoked_token_is_void(store: TokenStore, tmp_path: Path) -> None:
    other = TokenStore(tmp_path / "state" / FILE)
    made = store.add("gate", Role.CAMERA)
    assert other.refresh()
    assert not other.refresh()
    assert other.match(made.token) == made.record
    other.revoke("gate")
    assert store.refresh()
    assert store.match(made.token) is None
    again = store.add("gate", Role.CAMERA)
    assert other.revoke("gate") == again.record  # without a look at the file before


def test_rotating_makes_the_former_secret_void(store: TokenStore) -> None:
    first = store.add("gate", Role.CAMERA)
    second = store.rotate("gate")
    assert (second.record.name, second.record.role) == ("gate", Role.CAMERA)
    assert store.match(first.token) is None
    assert store.match(second.token) == second.record


def test_a_paired_camera_uses_its_own_token(store: TokenStore) -> None:
    record = store.adopt("gate", Role.CAMERA, "s" * 40)
    assert store.match("s" * 40) == record
    store.adopt("gate", Role.CAMERA, "t" * 40)
    assert store.match("s" * 40) is None


def test_a_paired_camera_does_not_take_the_place_of_an_operator(store: TokenStore) -> None:
    """Who approves a camera that has taken the operator's name would lock themselves out."""
    operator = store.add("operator", Role.OPERATOR)
    with pytest.raises(TokenError, match="'operator' has a token with the role operator already") as error:
        store.adopt("operator", Role.CAMERA, "s" * 40)
    assert error.value.code == "token_exists"
    assert store.match(operator.token) == operator.record
    assert store.match("s" * 40) is None


@pytest.mark.parametrize("name", ["", " ", "_x", "a\nb", "x" * 65])
def test_an_invalid_name_is_refused(store: TokenStore, name: str) -> None:
    with pytest.raises(TokenError) as error:
        store.add(name, Role.CAMERA)
    assert error.value.code == "token_name_invalid"


def test_errors_have_a_code_and_say_what_to_do(store: TokenStore) -> None:
    store.add("gate", Role.CAMERA)
    with pytest.raises(TokenError, match="appliance token rotate 'gate'") as error:
        store.add("gate", Role.VIEWER)
    assert error.value.code == "token_exists"
    with pytest.raises(TokenError, match="appliance token list") as error:
        store.revoke("yard")
    assert error.value.code == "token_unknown"
    with pytest.raises(TokenError, match="Roles: operator, viewer") as error:
        role_of("admin")
    assert error.value.code == "role_unknown"


@pytest.mark.parametrize(
    "damage",
    [b"", b"{}", b"not json", *(b'{"schema":1,"key":"%s","tokens":[]}' % key for key in (b"zz", b"00", b"00" * 65))],
)
def test_a_damaged_file_lets_nobody_in_and_is_not_overwritten(store: TokenStore, tmp_path: Path, damage: bytes) -> None:
    made = store.add("anna", Role.OPERATOR)
    (tmp_path / "state" / FILE).write_bytes(damage)
    store.refresh()
    assert store.match(made.token) is None
    assert store.problem is not None
    assert "cannot read" in store.problem
    with pytest.raises(TokenError, match="Repair or remove that file"):
        store.add("bert", Role.OPERATOR)
    assert (tmp_path / "state" / FILE).read_bytes() == damage


def test_the_number_of_tokens_is_limited() -> None:
    store = TokenStore(None)
    for number in range(MOST):
        store.adopt(f"camera {number}", Role.CAMERA, f"{number}" * 40)
    for more in (lambda: store.add("one", Role.CAMERA), lambda: store.adopt("more", Role.CAMERA, "s" * 40)):
        with pytest.raises(TokenError) as error:
            more()
        assert error.value.code == "tokens_full"
    store.adopt("camera 7", Role.CAMERA, "t" * 40)  # in place of the former one
    assert len(store.records) == MOST
