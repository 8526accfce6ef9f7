"""The first start as docs/first-start.md has it: from an empty machine to a phone that shows the page over TLS.

Everything that a person reads off the console is read off a real terminal here, the QR code included.
"""

from __future__ import annotations

import asyncio
import base64
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import ROOT
from tests.web import chromium

pytestmark = [
    pytest.mark.first_start,
    pytest.mark.model,
    pytest.mark.skipif(chromium.find() is None, reason="no Chromium on this machine: `apt install chromium`"),
]

_WITHIN_S = 60.0
_PHONE = (390, 844)
_TEXT = "document.body.innerText"
_HALVES = {"█": (255, 255), "▀": (255, 0), "▄": (0, 255), " ": (0, 0)}


class Terminal:
    """A program on a terminal of its own, and what it has printed."""

    def __init__(self, *arguments: str, state: Path) -> None:
        self._master, slave = pty.openpty()
        environment = os.environ | {"APPLIANCE_CONTROL": str(state / "control.sock")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "appliance", *arguments, "--set", f"state.dir={state}"],
            cwd=ROOT, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self._shown = b""
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def shown(self) -> str:
        return self._shown.decode(errors="replace").replace("\r", "")

    async def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until the terminal shows this."""
        end_s = time.monotonic() + _WITHIN_S
        while not (found := re.search(pattern, self.shown)):
            assert time.monotonic() < end_s, f"never shown: {pattern}\n{self.shown}"
            assert self.process.poll() is None, self.shown
            await asyncio.sleep(0.05)
        return found

    def qr_code(self) -> str:
        """What a phone reads from the screen."""
        lines = [line for line in self.shown.splitlines() if len(line) > 20 and set(line) <= set(_HALVES)]
        rows = [[_HALVES[sign][half] for sign in line] for line in lines for half in (0, 1)]
        return cv2.QRCodeDetector().detectAndDecode(np.kron(np.array(rows, np.uint8), np.ones((8, 8), np.uint8)))[0]

    def _read(self) -> None:
        try:
            while data := os.read(self._master, 1 << 16):
                self._shown += data
        except OSError:  # the program has ended
            os.close(self._master)


@contextmanager
def running(*arguments: str, state: Path) -> Iterator[Terminal]:
    terminal = Terminal(*arguments, state=state)
    try:
        yield terminal
    finally:
        terminal.process.terminate()
        try:
            terminal.process.wait(20)
        finally:
            terminal.process.kill()


async def test_from_an_empty_machine_to_a_phone_that_shows_a_new_camera(models_dir: Path, tmp_path: Path) -> None:
    device, elsewhere = tmp_path / "device", tmp_path / "camera"
    device.mkdir()
    elsewhere.mkdir()
    serve = ("serve", "--host", "0.0.0.0", "--port", "0", "--set", f"model.dir={models_dir}",
             "--set", "access.loopback=nobody")  # fmt: skip  # so that this machine is a stranger too
    with running(*serve, state=device) as console:
        token = (await console.wait_for(r"operator's token, shown only this once: (\S+)"))[1]
        await console.wait_for("ready after")
        at = await console.wait_for(r"camera --to`: https://\S+:(\d+)/#sha256=(\w+)")
        port, pin = at.groups()
        code = console.qr_code()
        assert re.fullmatch(rf"https://\S+:{port}/#token={re.escape(token)}", code), "the QR code signs in"
        kept = next(device.rglob("operator-token"))

        # The phone. A person compares the fingerprint; the browser here is given the console's pin, and no other key.
        trusted = base64.b64encode(bytes.fromhex(pin)).decode()
        here = f"https://127.0.0.1:{port}/"
        async with chromium.running(f"--ignore-certificate-errors-spki-list={trusted}") as browser:
            async with chromium.tab(here, *_PHONE, port=browser) as stranger:
                await stranger.until("!document.getElementById('token-form').hidden")
                assert "operator" not in await stranger.evaluate(_TEXT)
            async with chromium.tab(here + code.partition("/#")[2].join(("#", "")), *_PHONE, port=browser) as phone:
                await phone.until(f"{_TEXT}.includes('operator (operator)')")
                assert await phone.evaluate("isSecureContext && location.hash === ''"), "the token left the address"
                assert await phone.evaluate(f"document.documentElement.scrollWidth <= {_PHONE[0]}")
                await _pair(phone, f"{here}#sha256={pin}", elsewhere)
        assert not kept.exists(), "the token has been used"
        assert token not in console.shown.replace(token, "", 3), "banner, address, and nowhere else"


async def _pair(phone: chromium.Tab, to: str, state: Path) -> None:
    """A new camera asks, the operator compares the codes and approves, and the camera's frames are answered."""
    with running("camera", "--to", to, "--name", "Portão", "--source", "demo", state=state) as camera:
        code = (await camera.wait_for(r"with the code (\d{3} \d{3})"))[1]
        await phone.until("document.querySelector('#notes')?.hidden === false", within_s=_WITHIN_S)
        button = "[...document.querySelectorAll('.follow button')].find((one) => one.textContent.startsWith('Approve'))"
        await phone.until(f"!!{button}")
        await phone.evaluate(f"{button}.click()")
        await phone.until(f"document.getElementById('action').open && {_TEXT}.includes('Portão ({code})')")
        await phone.evaluate("document.querySelector('#action .confirm').click()")
        await camera.wait_for("frame 3: stop sign")
        await phone.until(f"/Portão[^]*stop sign/.test({_TEXT})")
