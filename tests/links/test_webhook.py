"""Webhooks against a real HTTP server: signatures, repetitions, limits."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from appliance.links import signature
from appliance.links.reasons import LinkProblem
from appliance.links.webhook import Webhook, WebhookOptions
from tests.conftest import Serve
from tests.events.sights import event
from tests.fakes import FakeClock
from tests.links.showing import FAST, appear
from tests.tls import certificates
from tests.web.camera import camera

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """A server that records what is posted. `statuses`: its next answers; afterwards 204."""

    def __init__(self) -> None:
        self.url = ""
        self.statuses: list[int] = []
        self.fields: dict[str, str] = {}
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.hang = False
        self._news = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        self.posts.append((dict(request.headers), await request.read()))
        self._news.set()
        if self.hang:
            await asyncio.sleep(30)
        status = self.statuses.pop(0) if self.statuses else 204
        return web.Response(status=status, headers=self.fields)

    async def until(self, holds: Callable[[], object]) -> None:
        with anyio.fail_after(20):
            while not holds():
                await asyncio.sleep(0.01)

    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.posts]


@asynccontextmanager
async def receiver(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    one = Receiver()
    app = web.Application()
    app.router.add_post("/hook", one.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    host, port = runner.addresses[0][:2]
    one.url = f"http://{host}:{port}/hook" if tls is None else f"https://localhost:{port}/hook"
    try:
        yield one
    finally:
        await runner.cleanup()


@asynccontextmanager
async def posting(
    url: str, clock_is_set: Callable[[], bool] = lambda: True, **options: Any
) -> AsyncIterator[tuple[Webhook, FakeClock]]:
    """A webhook that runs, with pauses of almost nothing."""
    clock = FakeClock()
    hook = Webhook(
        WebhookOptions("alarm", url, **options),
        "box",
        clock=clock,
        wall_clock=time.time,
        clock_is_set=clock_is_set,
        first_pause_s=0.01,
    )
    async with anyio.create_task_group() as group:
        group.start_soon(hook.run)
        yield hook, clock
        group.cancel_scope.cancel()


async def test_an_event_is_posted_as_json_with_the_name_of_the_device() -> None:
    async with receiver() as one, posting(one.url) as (hook, _):
        hook.receive(event("a", "start"))
        await one.until(lambda: one.posts)
        fields, body = one.posts[0]
        assert fields["Content-Type"] == "application/json"
        assert json.loads(body)["id"] == "a"
        assert json.loads(body)["device"] == "box"
        await hook.finish(10)
        assert hook.problem is None


@pytest.mark.parametrize("secret", [SECRET, "a plain text as secret"])
async def test_a_verifier_of_others_accepts_the_signature_and_refuses_a_changed_body(secret: str) -> None:
    verifier = Verifier(secret) if secret == SECRET else Verifier(secret.encode())
    async with receiver() as one, posting(one.url, secret=secret) as (hook, _):
        hook.receive(event("a", "start"))
        await one.until(lambda: one.posts)
        fields, body = one.posts[0]
        headers = {key.lower(): value for key, value in fields.items()}
        assert verifier.verify(body.decode(), headers)["id"] == "a"
        with pytest.raises(WebhookVerificationError):
            verifier.verify(body.decode().replace("gate", "yard"), headers)


def test_the_signature_is_that_of_the_published_example() -> None:
    """The test vector of the Standard Webhooks libraries."""
    fields = signature.headers(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert fields["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_broken_receiver_gets_the_same_event_again_and_the_next_ones_in_order() -> None:
    async with receiver() as one, posting(one.url) as (hook, _):
        one.statuses = [500, 503, 429]
        hook.receive(event("a", "start", 1))
        hook.receive(event("a", "end", 2))
        await hook.finish(10)
        assert one.types() == ["start", "start", "start", "start", "end"]
        assert len({fields["webhook-id"] for fields, _ in one.posts}) == 2
        assert (hook.sent, hook.dropped, hook.problem) == (2, 0, None)


@pytest.mark.parametrize("status", [400, 404, 410, 302])
async def test_an_event_that_is_rejected_is_not_repeated_and_is_a_problem(status: int) -> None:
    async with receiver() as one, posting(one.url) as (hook, _):
        one.statuses, one.fields = [status], {"Location": "/elsewhere"}
        hook.receive(event("a", "start"))
        await hook.finish(10)
        assert len(one.posts) == 1
        assert str(status) in str(hook.problem)
        assert hook.dropped == 1


@pytest.mark.parametrize(
    ("secret", "up_s", "clock_is_set", "arrives"),
    [(SECRET, 0, False, True), (SECRET, 0, True, False), ("", 0, False, False), (SECRET, 700, False, False)],
)
async def test_a_signed_event_is_repeated_until_the_clock_of_a_device_that_has_started_is_set(
    secret: str, up_s: float, clock_is_set: bool, arrives: bool
) -> None:
    """Verifiers reject a date that is minutes off; after a power cut, a board without a battery has one."""
    async with receiver() as one, posting(one.url, lambda: clock_is_set, secret=secret) as (hook, clock):
        clock.pass_(up_s)
        one.statuses = [401] * 3
        hook.receive(event("a", "start"))
        await hook.finish(10)
        assert (hook.sent, hook.given_up) == ((1, 0) if arrives else (0, 1))


async def test_an_event_is_given_up_after_its_time() -> None:
    async with receiver() as one, posting(one.url, give_up_s=60) as (hook, clock):
        one.statuses = [500] * 3
        hook.receive(event("a", "start", 1))
        await one.until(lambda: len(one.posts) >= 2)
        clock.pass_(100)
        hook.receive(event("b", "start", 2))
        await hook.finish(10)
        assert [json.loads(body)["id"] for _, body in one.posts][-1] == "b"
        assert hook.dropped == 1


async def test_a_receiver_that_hangs_or_is_away_is_a_problem() -> None:
    async with receiver() as one:
        one.hang = True
        async with posting(one.url, timeout_s=0.05) as (hook, _):
            hook.receive(event("a", "start"))
            await one.until(lambda: hook.problem)
            assert hook.problem == LinkProblem("link_no_answer", "0.05 s")
    async with posting(one.url) as (hook, _):
        hook.receive(event("a", "start"))
        await one.until(lambda: hook.problem)
        assert hook.problem == LinkProblem("link_refused"), "no exception of a library"


async def test_what_a_receiver_says_that_speaks_no_http_is_a_short_problem() -> None:
    """Its bytes are in the exception, and in a pattern that searches them for secrets."""

    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"-" * 16_000 + b"\0" * 16_000)
        writer.close()

    async with receiver() as one, await asyncio.start_server(garbage, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        async with posting(url) as (hook, _):
            hook.receive(event("a", "start"))
            await one.until(lambda: hook.problem)
        assert hook.problem is not None
        assert hook.problem.code == "link_failed"
        assert 0 < len(hook.problem.detail) <= 200
        assert "\n" not in hook.problem.detail


async def test_an_authority_that_is_renewed_is_trusted_without_a_restart(tmp_path: Path) -> None:
    former, written = certificates.write(tmp_path / "former"), certificates.write(tmp_path / "receiver")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(written.certificate, written.key)
    trusted = tmp_path / "ca.pem"
    async with receiver(tls) as one, posting(one.url, ca_file=str(trusted)) as (hook, _):
        hook.receive(event("a", "start"))
        await one.until(lambda: hook.problem and hook.problem.code == "link_file")
        trusted.write_bytes(former.certificate.read_bytes())
        await one.until(lambda: hook.problem and hook.problem.code == "link_certificate")
        trusted.write_bytes(written.certificate.read_bytes())
        await one.until(lambda: one.posts)
        await hook.finish(10)
        assert hook.problem is None


async def test_a_name_that_dns_cannot_have_is_a_problem() -> None:
    async with receiver() as one, posting("http://gate..lan/hook") as (hook, _):
        hook.receive(event("a", "start"))
        await one.until(lambda: hook.problem)
        assert hook.problem is not None
        assert hook.problem.code == "link_failed"


async def test_only_the_chosen_events_are_posted() -> None:
    options: dict[str, Any] = {
        "types": frozenset({"start"}), "cameras": frozenset({"gate"}), "classes": frozenset({"person"})
    }  # fmt: skip
    async with receiver() as one, posting(one.url, **options) as (hook, _):
        hook.receive(event("x", "start", camera="yard"))
        for kind in ("start", "update", "end"):
            hook.receive(event("a", kind))
        await hook.finish(10)
        assert one.types() == ["start"]


async def test_events_for_a_receiver_that_is_away_are_bounded_and_the_newest_are_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with receiver() as one, posting(one.url, queue=10) as (hook, _):
        one.statuses = [500] * 3
        for number in range(200):
            hook.receive(event(f"{number}", "start", number))
        await hook.finish(10)
        assert [json.loads(body)["id"] for _, body in one.posts][-10:] == [str(number) for number in range(190, 200)]
        assert hook.dropped >= 189
        assert f"the receiver accepts events again; {hook.dropped} events are lost" in caplog.text


async def test_events_of_a_service_reach_its_receiver_until_it_stops(serve: Serve, tmp_path: Path) -> None:
    async with receiver() as one:
        toml = tmp_path / "appliance.toml"
        toml.write_text(f'[webhooks.alarm]\nurl = "{one.url}"\n')
        async with serve(**FAST, toml=toml) as running, camera(running.url, "gate") as gate:
            await appear(running, gate)
        assert one.types() == ["start", "end"]
