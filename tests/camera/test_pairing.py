"""A camera without a token asks to be let in, and is, once an operator has approved it."""

from __future__ import annotations

import asyncio
import re
import stat
from pathlib import Path

import pytest

from appliance.camera import link
from appliance.camera.failures import LinkLost, Rejected
from appliance.camera.link import connected
from appliance.camera.own_token import own_token
from appliance.control.protocol import PairingAnswer
from appliance.identity.pairing import code_of
from appliance.web import authenticator
from appliance.web.clients import Client
from tests.conftest import Running, Serve


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every client is another machine, and patient: many ask at the same time."""
    client = Client("192.168.1.77", local=False, encrypted=False)
    monkeypatch.setattr(authenticator, "client_of", lambda request, proxies: client)
    monkeypatch.setattr(link, "CONNECT_WITHIN_S", 60.0)


async def attempt(running: Running, token: str) -> str:
    """Connect as the agent does; returns the camera's name."""
    async with connected(running.url, {"name": "gate", "token": token, "pair": True}) as opened:
        return str(opened.camera)


async def refused(running: Running, tokens: list[str]) -> list[LinkLost]:
    """Attempts at the same time, as the device delays each answer to one that tries again and again."""
    answers = await asyncio.gather(*(attempt(running, token) for token in tokens), return_exceptions=True)
    errors = [answer for answer in answers if isinstance(answer, LinkLost)]
    assert len(errors) == len(tokens), answers
    return errors


@pytest.mark.usefixtures("far_away")
async def test_a_camera_is_let_in_after_its_approval(serve: Serve, tmp_path: Path) -> None:
    async with serve(state__dir=str(tmp_path)) as running:
        running.add_token()
        entrance, token = running.started.parts.entrance, own_token(tmp_path / "camera")
        for _ in range(2):
            with pytest.raises(LinkLost, match=f"with the code {code_of('gate', token)}") as error:
                await attempt(running, token)
            assert not isinstance(error.value, Rejected)
            assert error.value.retry_after_s == 5
        (waiting,) = entrance.pairings.waiting()
        assert (waiting.name, waiting.address) == ("gate", "192.168.1.77")
        assert "pairing_waiting" in [found["code"] for found in running.report()["findings"]]
        await entrance.token_verbs.approve(PairingAnswer("gate"))
        assert await attempt(running, token) == "gate"
        assert entrance.pairings.waiting() == ()
        with pytest.raises(LinkLost, match="waits for approval"):  # somebody else under the same name
            await attempt(running, "x" * 43)
        assert await attempt(running, token) == "gate"


@pytest.mark.usefixtures("far_away")
async def test_without_pairing_a_camera_is_refused(serve: Serve, tmp_path: Path) -> None:
    async with serve(state__dir=str(tmp_path), access__pairing="false") as running:
        running.add_token()
        # The camera has made this token, and its operator typed none.
        for error in await refused(running, ["t" * 43] * 30):
            assert isinstance(error, Rejected)
            assert re.search(r"unauthorized: .*access\.pairing.*token add 'gate' --role camera", str(error))
        assert running.started.parts.entrance.brake.guessing() is None
        assert running.started.parts.entrance.pairings.waiting() == ()


@pytest.mark.usefixtures("far_away")
async def test_pairing_is_no_way_to_guess_tokens(serve: Serve, tmp_path: Path) -> None:
    """A few requests wait. All others are guesses where the settings have a token that they could be."""
    right = "a long passphrase that somebody could guess"
    async with serve(state__dir=str(tmp_path), server__viewer_token=right) as running:
        running.add_token()
        answers = []
        for number in range(12):
            try:
                await attempt(running, f"{number:043}")
            except LinkLost as error:
                answers.append(str(error))
        assert sum("waits for approval" in answer for answer in answers) == 4
        assert sum("too many cameras wait" in answer for answer in answers) == 8
        brake = running.started.parts.entrance.brake
        assert brake.wait_s("192.168.1.77", "gate") > 0
        with pytest.raises(LinkLost, match="too many cameras wait"):  # it is not even compared
            await attempt(running, right)


@pytest.mark.usefixtures("far_away")
async def test_a_camera_for_which_no_place_is_free_guesses_nothing(serve: Serve, tmp_path: Path) -> None:
    """Forty new cameras behind one router are no attack."""
    async with serve(state__dir=str(tmp_path)) as running:
        running.add_token()
        for number in range(4):
            with pytest.raises(LinkLost, match="waits for approval"):
                await attempt(running, f"{number:043}")
        for error in await refused(running, [f"{100 + number:043}" for number in range(40)]):
            assert re.search("too many cameras wait .* token approve", str(error))
            assert not isinstance(error, Rejected)
            assert error.retry_after_s == 10
        brake = running.started.parts.entrance.brake
        assert brake.guessing() is None
        assert brake.wait_s("192.168.1.77", "gate") == 0


@pytest.mark.usefixtures("far_away")
async def test_a_token_of_the_settings_needs_no_place(serve: Serve, tmp_path: Path) -> None:
    """A camera's own token that its operator has written into the settings."""
    (tmp_path / "appliance.toml").write_text(f'[cameras.gate]\ntoken = "{"t" * 43}"\n')
    async with serve(toml=tmp_path / "appliance.toml", state__dir=str(tmp_path)) as running:
        running.add_token()
        assert await attempt(running, "t" * 43) == "gate"
        pairings = running.started.parts.entrance.pairings
        assert pairings.waiting() == ()
        for number in range(4):
            with pytest.raises(LinkLost, match="waits for approval"):
                await attempt(running, f"{number:043}")
        assert await attempt(running, "t" * 43) == "gate"


async def test_a_device_that_needs_no_token_ignores_the_cameras_own(serve: Serve) -> None:
    async with serve() as running:
        assert await attempt(running, "t" * 43) == "gate"


def test_a_camera_keeps_its_token(tmp_path: Path) -> None:
    token = own_token(tmp_path / "state")
    assert own_token(tmp_path / "state") == token
    assert stat.S_IMODE((tmp_path / "state/camera-token").stat().st_mode) == 0o600
    assert own_token(None) != token


def test_a_token_that_cannot_be_kept_still_works(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    assert len(own_token(tmp_path / "file" / "state")) >= 32
    assert "has to approve the camera again" in caplog.text
