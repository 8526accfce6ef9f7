"""Fixtures for all tests: the default model, a service in this process with a fake engine, and the real one."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from appliance.flow.inference import Network
from appliance.identity.roles import Role
from appliance.service import run
from appliance.settings import loader
from appliance.settings.schema import Settings
from appliance.values import Size
from appliance.vision import decode, scene
from appliance.web import report
from appliance.workshop.fetch import fetch
from tests.fakes import FakeEngine, fake_network
from tests.models.bundles import make_bundles

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep tests, and the services they start, out of the real state folder, and away from other services' sockets.

    Two processes run the tests: with one folder for both, a command of one would speak to the service of the other.
    """
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="run-") as sockets:
        patch.delenv("RUNTIME_DIRECTORY", raising=False)
        patch.setenv("XDG_RUNTIME_DIR", sockets)
        home = tmp_path_factory.mktemp("state")
        patch.setenv("XDG_STATE_HOME", str(home))
        patch.setenv("STATE_DIRECTORY", str(home / "appliance"))  # in a checkout, it would be `.state`
        yield Path(os.environ["XDG_STATE_HOME"])


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Let a test set up logging, as every command does, and restore it afterwards."""
    root, own = logging.getLogger(), logging.getLogger("appliance")
    before = root.handlers[:], root.level, own.level
    yield
    root.handlers[:], level, own_level = before
    root.setLevel(level)
    own.setLevel(own_level)
    logging.captureWarnings(False)


@pytest.fixture
def made_sessions(monkeypatch: pytest.MonkeyPatch) -> list[aiohttp.ClientSession]:
    """The sessions of HTTP clients that this test, or what it runs in this process, has made."""
    made: list[aiohttp.ClientSession] = []
    init = aiohttp.ClientSession.__init__

    def noted(session: aiohttp.ClientSession, *args: Any, **options: Any) -> None:
        init(session, *args, **options)
        made.append(session)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", noted)
    return made


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def untouched_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Isolate tests and their child processes from this machine's settings and running service."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("APPLIANCE_")]:
            patch.delenv(name)
        patch.setenv("APPLIANCE_CONFIG", os.devnull)
        patch.setenv("APPLIANCE_CONTROL", str(tmp_path_factory.mktemp("run") / "control.sock"))
        yield


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The folder with the default model, downloaded if missing; skips the test if that fails, except in CI."""
    try:
        fetch(ROOT / "models", print)
    except Exception as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"cannot download the default model: {error}")
    return ROOT / "models"


@pytest.fixture
def models_setting(tmp_path: Path) -> str:
    """A `--set` value for a folder with one model, which finds colours."""
    return f"model.dir={make_bundles(tmp_path / 'models', 'yolo11n')}"


@pytest.fixture
def two_models(tmp_path: Path) -> Path:
    """A folder with the models `first` and `second`, which find colours."""
    return make_bundles(tmp_path / "models", "first", "second")


@pytest.fixture(scope="session")
def scene_jpeg() -> bytes:
    """1280x720, one stop sign in the middle."""
    pixels, _ = scene.draw(Size(1280, 720))
    return decode.encode_jpeg(pixels, 85)


@dataclass(frozen=True, slots=True)
class Running:
    """A running service in this process."""

    url: str
    engine: FakeEngine
    started: run.Started
    stop: asyncio.Event

    def report(self) -> dict[str, Any]:
        """The current content of `/health`."""
        return report.of_snapshot(self.started.parts.vitals.snapshot())

    def add_token(self, role: Role = Role.OPERATOR) -> str:
        """A new token of this role."""
        return self.started.parts.entrance.tokens.add(f"{role.value} {secrets.token_hex(4)}", role).token


Serve = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture(scope="session")
def serve() -> Serve:
    """`async with serve(engine, **{"server.port": "0"}) as running:` the real service around a fake engine."""

    @asynccontextmanager
    async def service(
        engine: FakeEngine | None = None,
        *,
        wait_ready: bool = False,
        load: Callable[[Settings], Network] | None = None,
        toml: Path | None = None,
        root: Path = Path("/"),
        **flags: str,
    ) -> AsyncIterator[Running]:
        fake = engine or FakeEngine()
        read = partial(
            loader.load,
            toml,
            {},
            {
                "profile": "realtime",
                "server.host": "127.0.0.1",
                "server.port": "0",
                "state.history": "false",
                "flow.decoder": "thread",  # a process more for each of a thousand services takes minutes
            }
            | {key.replace("__", "."): value for key, value in flags.items()},
        )
        settings = read()
        opened: asyncio.Future[run.Started] = asyncio.get_running_loop().create_future()
        ready = asyncio.Event()
        stop = asyncio.Event()
        task = asyncio.create_task(
            run.serve(
                settings,
                run.Hooks(started=opened.set_result, ready=lambda _: ready.set(), until=lambda _: stop.wait()),
                run.Surroundings(root=root),
                read=read,
                load=load or (lambda _: fake_network(fake)),
            )
        )
        first: set[asyncio.Future[Any]] = {opened, task}
        await asyncio.wait(first, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        try:
            if wait_ready:
                await asyncio.wait_for(ready.wait(), 60)
            started = opened.result()
            yield Running(f"http://127.0.0.1:{started.port}", fake, started, stop)
        finally:
            fake.release()
            stop.set()
            await asyncio.wait_for(task, 60)

    return service


@dataclass(frozen=True, slots=True)
class ServiceProcess:
    """The real service with the real model, in its own process."""

    url: str
    process: subprocess.Popen[str]
    control: Path
    """Its control socket; other services of the tests use another."""

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Request a path; return status and JSON body."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())


@pytest.fixture(scope="session")
def service_process(models_dir: Path, state_home: Path) -> Iterator[ServiceProcess]:
    """The service as `make run` starts it, but on a free port and without the demo camera."""
    command = [sys.executable, "-m", "appliance", "serve", "--host", "127.0.0.1", "--port", "0",
               "--profile", "realtime", "--set", f"model.dir={models_dir}",
               "--set", f"state.dir={state_home / 'service'}"]  # fmt: skip
    control = Path(os.environ["XDG_RUNTIME_DIR"]) / "process.sock"
    environment = os.environ | {"APPLIANCE_CONTROL": str(control)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().split()[-1].rstrip("/")
        assert url.startswith("http://"), f"the service did not start: {url}"
        deadline = time.monotonic() + 60
        running = ServiceProcess(url, process, control)
        while running.get("/health/ready")[0] != 200:
            assert time.monotonic() < deadline, "the service did not become ready within a minute"
            time.sleep(0.05)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        process.stdout.close()
