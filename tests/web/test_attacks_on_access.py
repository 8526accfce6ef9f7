"""Attacks on who gets in: foreign pages, planted sessions, forged headers, guessed tokens, and secrets in the open."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import socketio

from appliance.control.protocol import TokenName
from appliance.identity.roles import Role
from appliance.identity.sessions import LONGEST_S
from tests.conftest import Running, Serve
from tests.fakes import CANARY_ROWS, FakeEngine
from tests.web.camera import camera
from tests.web.requests import picture

ELSEWHERE = {"X-Forwarded-For": "192.168.1.77"}
"""Makes a request from this machine one of a stranger."""
EVIL = {"Origin": "http://evil.example"}


async def sign_in(session: aiohttp.ClientSession, token: str, **headers: str) -> tuple[int, str]:
    own = {"Origin": str(session._base_url).rstrip("/")}
    async with session.post("/session", json={"token": token}, headers=own | headers) as answer:
        return answer.status, answer.headers.get("Set-Cookie", "")


def browser(running: Running) -> aiohttp.ClientSession:
    """A session of a stranger's browser, which keeps cookies also for an IP address."""
    return aiohttp.ClientSession(running.url, headers=ELSEWHERE, cookie_jar=aiohttp.CookieJar(unsafe=True))


async def status_of(session: aiohttp.ClientSession, method: str, path: str, **headers: str) -> int:
    async with session.request(method, path, json={} if method == "POST" else None, headers=headers) as answer:
        return answer.status


async def refusal_of(url: str, *, headers: dict[str, str] | None = None, **auth: object) -> dict[str, object]:
    """How a Socket.IO connection is refused; empty: it is accepted."""
    client = socketio.AsyncClient(reconnection=False)
    refused: list[dict[str, object]] = []
    client.on("connect_error", refused.append)
    try:
        await client.connect(url, headers=headers or ELSEWHERE, auth=auth or None, transports=["websocket"])
    except socketio.exceptions.ConnectionError:
        answer: Any = refused[0] if refused and isinstance(refused[0], dict) else {}
        data = answer.get("data")
        return {"message": answer.get("message")} | (data if isinstance(data, dict) else {})
    finally:
        await client.disconnect()
    return {}


async def test_the_page_signs_in_with_a_cookie_that_no_script_reads(serve: Serve) -> None:
    async with serve() as running, browser(running) as session:
        token = running.add_token()
        assert await status_of(session, "GET", "/health/history") == 401
        status, cookie = await sign_in(session, token)
        assert status == 200
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert token not in cookie
        assert await status_of(session, "GET", "/health/history") == 200
        async with session.delete("/session", headers={"Origin": running.url}) as answer:
            assert answer.status == 200
        assert await status_of(session, "GET", "/health/history") == 401


async def test_one_may_sign_in_also_if_the_request_arrives_in_pieces(serve: Serve) -> None:
    async with serve() as running:
        body = f'{{"token": "{running.add_token()}"}}'.encode()
        head = ("POST /session HTTP/1.1", f"Host: 127.0.0.1:{running.started.port}", "Content-Type: application/json",
                f"Content-Length: {len(body)}", "Connection: close", "", "")  # fmt: skip
        reader, writer = await asyncio.open_connection("127.0.0.1", running.started.port)
        writer.write("\r\n".join(head).encode() + body[:5])
        async with aiohttp.ClientSession(running.url) as session:
            await status_of(session, "GET", "/health/live")  # the service has read the first piece by now
        writer.write(body[5:])
        assert (await asyncio.wait_for(reader.read(), 30)).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_a_copied_cookie_is_worthless_after_signing_out(serve: Serve) -> None:
    async with serve() as running, browser(running) as session, browser(running) as thief:
        _, cookie = await sign_in(session, running.add_token())
        copied = {"Cookie": cookie.partition(";")[0]}
        assert await status_of(thief, "GET", "/health/history", **copied) == 200
        async with session.delete("/session", headers={"Origin": running.url}):
            pass
        assert await status_of(thief, "GET", "/health/history", **copied) == 401


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_the_session_of_a_display_is_renewed_while_it_is_used(serve: Serve, role: Role) -> None:
    """That of an operator is not: whoever has stolen it must not keep it."""
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True) as running, browser(running) as session:
        running.add_token()
        _, cookie = await sign_in(session, running.add_token(role))
        former = {"Cookie": cookie.partition(";")[0]}

        async def renewed(path: str, **headers: str) -> str:
            async with session.get(path, headers=headers) as answer:
                assert answer.status == 200
                assert "Set-Cookie" not in answer.headers or answer.headers["Cache-Control"] == "no-store"
                return answer.headers.get("Set-Cookie", "")

        sessions = running.started.parts.entrance.authenticator.sessions
        for path in ("/health", "/session"):
            assert await renewed(path) == ""
        sessions._wall_clock = lambda: time.time() + 25 * 3600
        session.cookie_jar.clear()
        assert await renewed("/", **former) == ""
        assert await renewed("/health", **former, **EVIL) == ""
        again = await renewed("/health", **former)
        assert bool(again) == (role is Role.VIEWER)
        if again:
            assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(again.split("; "))
            own = {"Origin": running.url}
            async with session.delete("/session", headers={"Cookie": again.partition(";")[0]} | own) as answer:
                assert "appliance_session=;" in answer.headers["Set-Cookie"].replace('"', "")
        assert await status_of(session, "GET", "/health/history", **former) == (401 if again else 200)


async def test_the_connections_of_a_session_end_with_it(serve: Serve, tmp_path: Path) -> None:
    """Somebody who has copied the cookie would watch on, for as long as the connection lasts."""
    ended = asyncio.Event()
    async with serve(state__dir=str(tmp_path)) as running, browser(running) as session:
        own = {"Origin": running.url}
        _, cookie = await sign_in(session, running.add_token())
        _, other = await sign_in(session, running.add_token(Role.VIEWER))
        clients = [socketio.AsyncClient(reconnection=False) for _ in range(2)]
        clients[0].on("disconnect", lambda *_: ended.set())
        for client, value in zip(clients, (cookie, other), strict=True):
            headers = ELSEWHERE | own | {"Cookie": value.partition(";")[0]}
            await client.connect(running.url, headers=headers, transports=["websocket"])
        session.cookie_jar.clear()
        async with session.delete("/session", headers=own | {"Cookie": cookie.partition(";")[0]}):
            pass
        await asyncio.wait_for(ended.wait(), 10)
        assert clients[1].connected
        sessions = running.started.parts.entrance.authenticator.sessions
        sessions._wall_clock = lambda: time.time() + LONGEST_S + 1
        assert len(running.started.parts.entrance.arrivals.void()) == 1
        await clients[1].disconnect()


async def test_a_foreign_page_cannot_use_the_cookie(serve: Serve) -> None:
    """Not for a POST, with or without Origin, nor for a websocket, nor from another port of the same host."""
    async with serve() as running, browser(running) as session:
        _, cookie = await sign_in(session, running.add_token())
        with_cookie = {"Cookie": cookie.partition(";")[0]}
        assert await status_of(session, "POST", "/actions/reload", **EVIL) == 403
        assert await status_of(session, "POST", "/actions/reload") == 401  # a browser always names the origin
        neighbour = {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"}
        assert await status_of(session, "POST", "/actions/reload", **neighbour) == 403
        assert await status_of(session, "GET", "/health/history", **{"Sec-Fetch-Site": "cross-site"}) == 401
        assert await status_of(session, "POST", "/actions/reload", Origin=running.url) == 200
        assert await refusal_of(running.url, headers=ELSEWHERE | with_cookie | EVIL) != {}
        assert await refusal_of(running.url, headers=ELSEWHERE | with_cookie | {"Origin": running.url}) == {}


async def test_another_allowed_page_does_not_inherit_a_session_or_the_device(serve: Serve) -> None:
    """`server.cors_origins` lets a page use the device with a token of its own, and never operate it without."""
    page = {"Origin": "http://dashboard.example"}
    async with serve(server__cors_origins=page["Origin"]) as running, browser(running) as session:
        await sign_in(session, running.add_token())
        assert await status_of(session, "POST", "/actions/reload", **page) == 401
        async with aiohttp.ClientSession(running.url, headers=page) as local:
            assert await status_of(local, "POST", "/actions/reload") == 401


async def test_a_planted_session_is_not_adopted(serve: Serve) -> None:
    async with serve() as running, browser(running) as session:
        token = running.add_token()
        planted = {"Cookie": "appliance_session=planted~9999999999~00~00"}
        assert await status_of(session, "GET", "/health/history", **planted) == 401
        _, cookie = await sign_in(session, token, **planted)
        assert "planted" not in cookie
        _, again = await sign_in(session, token)
        assert again.partition(";")[0] != cookie.partition(";")[0]


async def test_a_form_cannot_sign_a_browser_in(serve: Serve) -> None:
    async with serve() as running, browser(running) as session:
        token = running.add_token()
        for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            headers = {"Content-Type": content_type, "Origin": running.url}
            async with session.post("/session", data=f'{{"token": "{token}"}}', headers=headers) as answer:
                assert answer.status == 415
        assert (await sign_in(session, token, **EVIL))[0] == 403


async def test_no_answer_can_be_framed_or_shown_elsewhere(serve: Serve) -> None:
    async with serve() as running, aiohttp.ClientSession(running.url) as session:
        for path in ("/", "/health", "/metrics", "/cameras/x/latest.jpg", "/nowhere"):
            async with session.get(path) as answer:
                assert "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"]
                assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
                assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


async def test_only_a_valid_token_in_its_address_lets_another_page_show_a_picture(serve: Serve) -> None:
    """A page that runs in a browser on the device could show the cameras with any text as the token otherwise."""
    async with (
        serve(server__keep_pictures="true") as running,
        aiohttp.ClientSession(running.url) as session,
        camera(running.url, "gate") as gate,
    ):
        await gate.push({"image": picture(1), "frame_id": 1})
        await gate.answer(1)
        running.add_token()
        viewer, metrics = running.add_token(Role.VIEWER), running.add_token(Role.METRICS)
        for token, policy in ((viewer, "cross-origin"), (metrics, "same-origin"), ("any", "same-origin")):
            async with session.get("/cameras/gate/latest.jpg", params={"token": token}) as answer:
                assert (answer.status, answer.headers["Cross-Origin-Resource-Policy"]) == (200, policy)
            headers, status = ELSEWHERE, 200 if token == viewer else 403 if token == metrics else 401
            async with session.get("/cameras/gate/latest.jpg", params={"token": token}, headers=headers) as answer:
                assert (answer.status, answer.headers["Cross-Origin-Resource-Policy"]) == (status, policy)


@pytest.mark.parametrize(
    "forged",
    [
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-For": "::1, 127.0.0.1"},
        {"X-Forwarded-For": ""},
        {"Forwarded": "for=127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
        {"X-Forwarded-Host": "127.0.0.1"},
    ],
)
async def test_forged_addresses_make_no_operator(serve: Serve, forged: dict[str, str]) -> None:
    """Also behind a trusted proxy, where only the address that the proxy saw counts."""
    for flags in ({}, {"server__trusted_proxies": "127.0.0.1"}):
        async with serve(**flags) as running, aiohttp.ClientSession(running.url, headers=forged) as session:
            running.add_token()
            assert await status_of(session, "POST", "/actions/reload", Origin=running.url) == 401


async def test_before_there_is_an_operator_the_network_sees_only_that_the_device_is_up(
    serve: Serve, tmp_path: Path
) -> None:
    async with serve(state__dir=str(tmp_path)) as running, aiohttp.ClientSession(running.url, headers=ELSEWHERE) as far:
        assert await status_of(far, "GET", "/health/live") == 200
        for path in ("/", "/health", "/session", "/metrics", "/v1/vision/custom/list"):
            async with far.get(path) as answer:
                assert (answer.status, (await answer.json())["code"]) == (403, "setup_needed"), path
        assert await refusal_of(running.url) != {}
        async with aiohttp.ClientSession(running.url) as near:
            assert await status_of(near, "GET", "/metrics") == 200


@pytest.mark.parametrize(
    ("setting", "keys"),
    [
        ("state", {"schema", "status", "timestamp", "timestamp_iso"}),
        ("none", {"success", "error", "code", "duration"}),
        ("full", None),
    ],
)
async def test_strangers_see_of_health_what_the_settings_allow(
    serve: Serve, setting: str, keys: set[str] | None
) -> None:
    async with serve(access__health=setting) as running, aiohttp.ClientSession(running.url, headers=ELSEWHERE) as far:
        running.add_token()
        async with far.get("/health") as answer:
            body = await answer.json()
            assert ("device" in body and "version" in body) if keys is None else set(body) == keys
        async with far.get("/health/ready") as answer:
            assert ("canary" in await answer.json()) == (setting == "full")
        assert await status_of(far, "GET", "/health/live") == 200


async def test_a_cameras_token_is_for_its_own_name_only(serve: Serve) -> None:
    async with serve() as running:
        store = running.started.parts.entrance.tokens
        running.add_token()
        token = store.add("gate 7", Role.CAMERA).token
        try:
            assert await refusal_of(running.url, name="gate 7", token=token) == {}
            assert await refusal_of(running.url, token=token) == {}
            refused = await refusal_of(running.url, name="yard", token=token)
            assert (refused["code"], refused["retry_after"]) == ("forbidden", None)
            client = socketio.AsyncSimpleClient()
            await client.connect(running.url, headers=ELSEWHERE, auth={"token": token}, transports=["websocket"])
            assert (await client.receive(timeout=10))[1]["camera"] == "gate 7"
            await client.disconnect()
        finally:
            store.revoke("gate 7")


async def test_revoking_a_token_ends_its_connections_and_no_others(serve: Serve) -> None:
    async with serve() as running:
        entrance = running.started.parts.entrance
        running.add_token()
        one, two = entrance.tokens.add("one", Role.CAMERA), entrance.tokens.add("two", Role.CAMERA)
        clients = []
        for made in (one, two):
            client = socketio.AsyncClient(reconnection=False)
            await client.connect(running.url, headers=ELSEWHERE, auth={"token": made.token}, transports=["websocket"])
            clients.append(client)
        await entrance.token_verbs.revoke(TokenName("one"))
        await clients[0].wait()
        assert clients[1].connected
        assert (await refusal_of(running.url, token=one.token))["code"] == "unauthorized"
        await clients[1].disconnect()
        entrance.tokens.revoke("two")


async def test_guessing_is_slow_and_the_camera_itself_stays_welcome(serve: Serve) -> None:
    async with serve() as running:
        entrance = running.started.parts.entrance
        running.add_token()
        made = entrance.tokens.add("guessed", Role.CAMERA)
        async with aiohttp.ClientSession(running.url) as session:
            codes = []
            for number in range(30):
                headers = {"X-Forwarded-For": "10.0.0.66", "Authorization": f"Bearer {number}"}
                async with session.get("/health", headers=headers) as answer:
                    codes.append(answer.status)
                    if answer.status == 429:
                        assert int(answer.headers["Retry-After"]) >= 1
        assert codes[:5] == [401] * 5
        assert codes.count(429) >= 20
        assert entrance.brake.wait_s("192.168.1.77", "guessed") == 0
        assert await refusal_of(running.url, name="guessed", token=made.token) == {}
        entrance.tokens.revoke("guessed")


async def test_guesses_do_not_lock_out_the_holders_of_issued_tokens(serve: Serve) -> None:
    """Whether they guess from the same address or under the same name, also if the device has just started."""
    async with serve(**PROXY) as running:
        operator, tokens = running.add_token(), running.started.parts.entrance.tokens
        camera = tokens.add("gate", Role.CAMERA)
        for address in ("10.0.0.66", "10.0.0.67", "10.0.0.68", "192.168.1.77"):
            lengthen_wait(running, address, "gate")
            lengthen_wait(running, address, "")
        assert running.started.parts.entrance.brake.wait_s("192.168.1.5", "gate") > 0
        assert await refusal_of(running.url, name="gate", token=camera.token) == {}
        async with browser(running) as session:
            assert (await sign_in(session, "wrong"))[0] == 429
            assert (await sign_in(session, operator))[0] == 200
        tokens.revoke("gate")


GATE = "the token of the gate"


PROXY = {"server__trusted_proxies": "127.0.0.1"}


async def guess_key(running: Running, key: str, address: str = "10.0.0.66", camera: str = "gate") -> int:
    """The status of a picture that is posted as this camera with this key. The service trusts PROXY."""
    headers = {"X-Forwarded-For": address, "X-Camera": camera}
    async with (
        aiohttp.ClientSession(running.url, headers=headers) as session,
        session.post("/v1/vision/detection", params={"api_key": key}, data=picture(1)) as answer,
    ):
        return answer.status


def lengthen_wait(running: Running, address: str, camera: str) -> None:
    """Make the wait a minute, so that it does not end during a test on a slow machine."""
    for _ in range(10):
        running.started.parts.entrance.brake.failed(address, camera)


def is_guessing_reported(running: Running) -> bool:
    return "token_guessing" in [found["code"] for found in running.report()["findings"]]


async def test_tokens_are_not_guessed_where_none_is_required(serve: Serve, tmp_path: Path) -> None:
    """A wrong one is ignored, so what the right one permits would show it."""
    toml = tmp_path / "appliance.toml"
    toml.write_text(f'[cameras.gate]\ntoken = "{GATE}"\n')
    async with serve(FakeEngine(CANARY_ROWS), toml=toml, wait_ready=True, access__auth="off", **PROXY) as running:
        assert not is_guessing_reported(running)
        assert [await guess_key(running, f"guess {number}") for number in range(25)] == [403] * 25
        assert is_guessing_reported(running)
        lengthen_wait(running, "10.0.0.66", "gate")
        assert await guess_key(running, GATE) == 403  # it is not even compared
        assert await guess_key(running, GATE, "192.168.1.5") == 200
        assert await guess_key(running, "any", camera="yard") == 200  # and nobody else is refused


async def test_an_integration_cannot_guess_the_tokens_of_cameras(serve: Serve, tmp_path: Path) -> None:
    toml = tmp_path / "appliance.toml"
    toml.write_text(f'[cameras.gate]\ntoken = "{GATE}"\n')
    async with serve(FakeEngine(CANARY_ROWS), toml=toml, wait_ready=True) as running:
        running.add_token()
        entitled = {"Authorization": f"Bearer {running.add_token(Role.INTEGRATION)}", "X-Camera": "gate"}
        async with aiohttp.ClientSession(running.url, headers=ELSEWHERE | entitled) as session:
            for key in (*(f"guess {number}" for number in range(25)), GATE):
                if key == GATE:
                    assert is_guessing_reported(running)
                    lengthen_wait(running, "127.0.0.1", "gate")
                async with session.post("/v1/vision/detection", params={"api_key": key}, data=picture(1)) as answer:
                    assert answer.status == 403


async def test_the_viewers_token_is_not_guessed_by_clients_that_may_send(serve: Serve) -> None:
    async def may_view(token: str) -> bool:
        client = socketio.AsyncSimpleClient()
        await client.connect(running.url, headers=ELSEWHERE, auth={"token": token}, transports=["websocket"])
        try:
            return "subscribed" in str(await client.call("subscribe", {"cameras": "*"}, timeout=10))
        finally:
            await client.disconnect()

    async with serve(access__auth="off", server__viewer_token="for viewers only") as running:
        assert not any([await may_view(f"guess {number}") for number in range(20)])
        assert is_guessing_reported(running)
        lengthen_wait(running, "127.0.0.1", "")
        assert not await may_view("for viewers only")


async def test_a_camera_with_an_old_token_that_is_ignored_does_not_slow_down_its_neighbours(serve: Serve) -> None:
    async with serve(
        FakeEngine(CANARY_ROWS), wait_ready=True, access__auth="off", flow__burst="100", **PROXY
    ) as running:
        for _ in range(30):
            assert await guess_key(running, "an old token", camera="") == 200
        assert not is_guessing_reported(running)
        assert running.started.parts.entrance.brake.wait_s("10.0.0.66", "") == 0


async def test_the_token_that_a_camera_made_for_itself_is_no_guess_where_none_is_required(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(access__auth="off", server__viewer_token="for viewers only") as running:
        for number in range(30):
            client = socketio.AsyncSimpleClient()
            auth = {"name": f"cam {number}", "token": secrets.token_urlsafe(32), "pair": True}
            await client.connect(running.url, headers=ELSEWHERE, auth=auth, transports=["websocket"])
            await client.disconnect()
        assert not is_guessing_reported(running)
        assert "wrong token" not in caplog.text
        client = socketio.AsyncSimpleClient()
        auth = {"name": "cam", "token": "for viewers only", "pair": True}
        await client.connect(running.url, headers=ELSEWHERE, auth=auth, transports=["websocket"])
        assert "subscribed" not in str(await client.call("subscribe", {"cameras": "*"}, timeout=10))
        await client.disconnect()


@pytest.mark.parametrize("guessed", ["gate", ""])
async def test_a_valid_token_clears_no_wait_for_what_it_does_not_permit(
    serve: Serve, tmp_path: Path, guessed: str
) -> None:
    """Between guesses, whoever has taken over a camera presents the token of that one."""
    async with serve(state__dir=str(tmp_path), **PROXY) as running:
        brake, tokens = running.started.parts.entrance.brake, running.started.parts.entrance.tokens
        operator, own = running.add_token(), tokens.add("yard", Role.CAMERA).token
        gate = tokens.add("gate", Role.CAMERA).token
        lengthen_wait(running, "10.0.0.66", guessed)
        for role in (None, Role.VIEWER, Role.INTEGRATION):
            await guess_key(running, own if role is None else running.add_token(role), camera=guessed)
            assert brake.wait_s("10.0.0.66", guessed) > 0
        await guess_key(running, gate if guessed else operator, camera=guessed)
        assert brake.wait_s("10.0.0.66", guessed) == 0


async def test_no_token_appears_in_the_log_the_metrics_or_the_health(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serve(server__viewer_token="view-secret", server__api_key="api-secret") as running:
        token = running.add_token()
        planted = [token, token.rpartition("_")[2], "view-secret", "api-secret", "guess-secret"]
        async with browser(running) as session:
            _, cookie = await sign_in(session, token)
            planted.append(cookie.partition("=")[2].partition(";")[0])
            await sign_in(session, "guess-secret")
            for path in ("/cameras/x/latest.jpg?token=view-secret", "/v1/vision/custom/list?api_key=api-secret"):
                await status_of(session, "GET", path)
            texts = [caplog.text]
            for path in ("/health", "/metrics", "/health/history", "/actions", "/actions/log", "/session"):
                async with session.get(path, headers={"Authorization": f"Bearer {token}"}) as answer:
                    texts.append(await answer.text())
        await refusal_of(running.url, name="gate", token="guess-secret")
        texts.append(caplog.text)
    for secret in planted:
        assert not any(secret in text for text in texts), secret


@pytest.mark.parametrize("policy", ["replace", "refuse"])
async def test_a_name_in_use_is_taken_over_or_refused(serve: Serve, policy: str) -> None:
    async with serve(access__name_taken=policy) as running:
        first = socketio.AsyncClient(reconnection=False)
        await first.connect(running.url, auth={"name": "gate"}, transports=["websocket"])
        refused = await refusal_of(running.url, headers={"X-Test": "local"}, name="gate")
        if policy == "refuse":
            assert (refused["code"], refused["retry_after"]) == ("name_taken", 10.0)
            assert first.connected
        else:
            assert refused == {}
            await first.wait()
        for _ in range(3):
            second = socketio.AsyncClient(reconnection=False)
            try:
                await second.connect(running.url, auth={"name": "gate"}, transports=["websocket"])
            except socketio.exceptions.ConnectionError:
                continue
            first = second
        assert running.started.parts.entrance.notices().contested == ("gate",)
        assert "name_taken" in [found["code"] for found in running.report()["findings"]]
        await first.disconnect()


async def test_a_name_that_is_taken_again_and_again_stays_with_its_last_holder_for_a_while(serve: Serve) -> None:
    async with serve() as running:
        holders = []
        for _ in range(11):  # the first takes it from nobody
            holders.append(socketio.AsyncClient(reconnection=False))
            await holders[-1].connect(running.url, auth={"name": "gate"}, transports=["websocket"])
        refused = await refusal_of(running.url, headers={"X-Test": "local"}, name="gate")
        assert (refused["code"], refused["retry_after"]) == ("name_taken", 10.0)
        assert holders[-1].connected
        assert await refusal_of(running.url, headers={"X-Test": "local"}, name="yard") == {}
        await holders[-1].disconnect()


async def test_with_auth_off_nobody_takes_the_name_of_a_camera_that_has_a_token(serve: Serve) -> None:
    async with serve(access__auth="off") as running:
        made = running.started.parts.entrance.tokens.add("gate", Role.CAMERA)
        real, program = socketio.AsyncSimpleClient(), socketio.AsyncSimpleClient()
        auth = {"name": "gate", "token": made.token}
        await real.connect(running.url, headers=ELSEWHERE, auth=auth, transports=["websocket"])
        for token in ("", "wrong"):
            assert (await refusal_of(running.url, name="gate", token=token))["code"] == "unauthorized"
        assert "status" in await real.call("process_frame", "AAAA", timeout=10)
        assert await refusal_of(running.url, name="yard") == {}
        await program.connect(running.url, auth={"name": "gate"}, transports=["websocket"])
        for client in (real, program):
            await client.disconnect()
        running.started.parts.entrance.tokens.revoke("gate")


async def test_with_auth_off_strangers_use_the_device_and_do_not_operate_it(serve: Serve, scene_jpeg: bytes) -> None:
    async with serve(access__auth="off") as running, aiohttp.ClientSession(running.url, headers=ELSEWHERE) as far:
        assert await refusal_of(running.url, name="gate") == {}
        async with far.post("/v1/vision/detection", data=picture(1)) as answer:
            assert answer.status == 200
        assert await status_of(far, "POST", "/actions/reload") == 401
        running.started.parts.entrance._exposed = True
        assert "auth_off" in [found["code"] for found in running.report()["findings"]]
