"""The page's actions, each with the real service, and who may use them."""

from __future__ import annotations

import asyncio
import io
import json
import re
import tarfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from appliance.device import logs
from appliance.flow.inference import Network
from appliance.identity.audit import AuditEntry
from appliance.models import active
from appliance.settings.schema import Settings
from appliance.web.page_files import PAGE
from tests.conftest import Running, Serve
from tests.fakes import CANARY_ROWS, FakeEngine, fake_network
from tests.models.bundles import make_bundles
from tests.web.camera import camera
from tests.web.requests import picture

JSON = {"Content-Type": "application/json"}
MANUAL = Path(__file__).parents[2] / "docs/operations.md"


async def test_the_manual_has_a_row_for_each_action(serve: Serve) -> None:
    async with (
        serve() as running,
        aiohttp.ClientSession(running.url) as session,
        session.get("/openapi.json") as answer,
    ):
        parameters = (await answer.json())["paths"]["/actions/{name}"]["post"]["parameters"]
    table = MANUAL.read_text(encoding="utf-8").partition("| action | request | effect |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", "".join(rows))) == parameters[0]["schema"]["enum"]


async def act(running: Running, name: str, body: Any = None, headers: dict[str, str] = JSON) -> tuple[int, Any]:
    data = json.dumps({} if body is None else body)
    async with (
        aiohttp.ClientSession(running.url) as session,
        session.post(f"/actions/{name}", data=data, headers=headers) as answer,
    ):
        return answer.status, await answer.json()


async def offer(running: Running, **headers: str) -> Any:
    async with aiohttp.ClientSession(running.url) as session, session.get("/actions", headers=headers) as answer:
        assert answer.status == 200
        return await answer.json()


async def first_reading(running: Running) -> None:
    """Wait for the governor's first reading: a level is applied with the next decision."""
    with anyio.fail_after(10):
        while running.started.parts.governor.reading is None:
            await asyncio.sleep(0.02)


def last_audit(running: Running) -> AuditEntry:
    return running.started.parts.entrance.audit.latest(1)[0]


async def test_a_level_is_held_and_released(serve: Serve) -> None:
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True) as running:
        await first_reading(running)
        status, done = await act(running, "hold", {"state": 1, "for_s": 60})
        assert (status, done["cur_state"]) == (200, 1)
        assert last_audit(running).action == "governor_hold"
        assert last_audit(running).who == "loopback (operator)"
        status, done = await act(running, "release")
        assert (status, done["held_for_s"]) == (200, None)
        status, done = await act(running, "hold", {"state": 99, "for_s": 60})
        assert (status, done["code"]) == (400, "refused")
        assert last_audit(running).ok is False


async def test_the_self_test_runs_now_and_says_why_it_failed(serve: Serve) -> None:
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True) as running:
        status, done = await act(running, "self_test")
        assert (status, done["proved"], done["message"]) == (200, True, "test image recognised")
        running.engine.rows = FakeEngine().rows
        status, done = await act(running, "self_test")
        assert (status, done["proved"]) == (200, False)
        assert "0 of 3 drawn stop signs" in done["message"]
        assert (last_audit(running).ok, last_audit(running).fields["code"]) == (False, "self_test_failed")


async def test_a_benchmark_counts_frames(serve: Serve) -> None:
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True) as running:
        first, second = await asyncio.gather(
            act(running, "benchmark", {"for_s": 0.5}), act(running, "benchmark", {"for_s": 0.5})
        )
        assert sorted((first[0], second[0])) == [200, 409], "one at a time"
        done = first[1] if first[0] == 200 else second[1]
        assert done["frames"] > 0
        assert done["fps"] > 0
        assert (await act(running, "benchmark", {"for_s": 3600}))[0] == 400
        assert running.report()["cameras"] == {}, "the benchmark is no camera"


async def test_a_benchmark_during_which_the_model_changes_has_no_result(serve: Serve, tmp_path: Path) -> None:
    make_bundles(tmp_path, "a", "b")

    def load(settings: Settings) -> Network:
        return fake_network(FakeEngine(CANARY_ROWS), settings.model.name)

    async with serve(load=load, wait_ready=True, model__dir=str(tmp_path), model__name="a") as running:
        (status, done), (changed, _) = await asyncio.gather(
            act(running, "benchmark", {"for_s": 3.0}), act(running, "activate", {"name": "b"})
        )
        assert (changed, status, done["code"]) == (200, 409, "benchmark_mixed")
        assert (await act(running, "benchmark", {"for_s": 0.3}))[0] == 200


async def test_a_camera_is_labelled_and_removed(serve: Serve) -> None:
    async with serve() as running:
        async with camera(running.url, "gate") as sender:
            await sender.push(picture(1))
            deadline_s = time.monotonic() + 10
            while "gate" not in running.report()["known_cameras"]:
                assert time.monotonic() < deadline_s
                await asyncio.sleep(0.05)
            assert await act(running, "label_camera", {"name": "gate", "label": " Portão  principal "}) == (
                200, {"name": "gate", "label": "Portão principal"},
            )  # fmt: skip
            assert running.report()["known_cameras"]["gate"]["label"] == "Portão principal"
            assert (await act(running, "label_camera", {"name": "gate", "label": "\u202egate"}))[1][
                "code"
            ] == "label_invalid"
            assert (await act(running, "label_camera", {"name": "yard", "label": "x"}))[1]["code"] == "camera_unknown"
            status, done = await act(running, "remove_camera", {"name": "gate"})
            assert (status, done["code"]) == (409, "camera_sending")
        while running.started.parts.vitals.roster.sends("gate"):
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.05)
        assert (await act(running, "remove_camera", {"name": "gate"}))[0] == 200
        assert running.report()["known_cameras"] == {}


async def test_settings_are_reloaded(serve: Serve) -> None:
    async with serve(wait_ready=False) as running:
        assert await act(running, "reload") == (200, {"restarts": False})


async def test_a_restart_is_answered_first(serve: Serve) -> None:
    async with serve() as running:
        assert await act(running, "restart") == (200, {"restarts": True})
        await asyncio.wait_for(running.started.parts.restart.wait(), 10)


async def test_a_change_of_model_is_not_offered_without_models(serve: Serve, tmp_path: Path) -> None:
    async with serve(model__dir=str(tmp_path)) as running:
        offered = await offer(running)
        assert offered["models"] == []
        assert "activate" not in offered["actions"]


async def test_a_model_is_activated_kept_and_rolled_back(serve: Serve, tmp_path: Path) -> None:
    make_bundles(tmp_path, "a", "b")

    def load(settings: Settings) -> Network:
        return fake_network(FakeEngine(CANARY_ROWS), settings.model.name)

    flags = {"model__dir": str(tmp_path), "model__name": "a"}
    async with serve(load=load, wait_ready=True, **flags) as running:
        offered = await offer(running)
        assert offered["models"] == ["a", "b"]
        assert "roll_back" not in offered["actions"]
        status, done = await act(running, "activate", {"name": "b"})
        assert (status, done["model"], done["kept"]) == (200, "b", True)
        assert active.read(tmp_path, "a").name == "b"
        assert "roll_back" in (await offer(running))["actions"]
        status, done = await act(running, "roll_back")
        assert (status, done["model"], done["kept"]) == (200, "a", True)
        assert active.read(tmp_path, "a").name == "a"
        assert (await act(running, "activate", {"name": "../a"}))[0] == 409


async def test_the_log_is_downloaded(serve: Serve) -> None:
    logs.set_up("info", {})
    async with serve() as running:
        await act(running, "hold", {"state": 1, "for_s": 60})
        async with aiohttp.ClientSession(running.url) as session, session.get("/actions/log") as answer:
            assert "attachment" in answer.headers["Content-Disposition"]
            assert "audit: action=governor_hold who=loopback (operator)" in await answer.text()


async def test_the_support_bundle_of_the_page_is_about_this_service(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its settings come from flags, and another service has the control socket."""
    logs.set_up("info", {})
    async with serve(), serve(mqtt__password="planted-s3cret", flow__burst="17") as running:
        assert await act(running, "label_camera", {"name": "planted-s3cret", "label": "x"})
        async with aiohttp.ClientSession(running.url) as session, session.get("/actions/support_bundle") as answer:
            assert answer.status == 200, await answer.text()
            archive = await answer.read()
    assert len(archive) < 5_000_000
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {one.name.partition("/")[2]: tar.extractfile(one) for one in tar.getmembers()}
        contents = {name: file.read() for name, file in files.items() if file is not None}
    assert json.loads(contents["health.json"])["status"]
    assert len(json.loads(contents["audit.json"])) == 2
    assert b"action=support_bundle_download who=loopback (operator)" in contents["log.txt"]
    assert b"\nburst = 17\n" in contents["settings.toml"]
    assert b"s3cret" not in b"".join(contents.values())


@pytest.mark.parametrize("headers", [JSON | {"X-Forwarded-For": "10.0.0.9"}, JSON | {"Origin": "http://evil.example"}])
async def test_a_stranger_can_do_nothing_and_is_offered_nothing(serve: Serve, headers: dict[str, str]) -> None:
    async with serve() as running:
        running.add_token()  # before that, a stranger gets no answer at all
        status, answer = await act(running, "hold", {"state": 1, "for_s": 60}, headers)
        assert status in (401, 403), answer
        assert running.started.parts.governor.held_for_s is None
        if "Origin" not in headers:
            assert await offer(running, **headers) == {"actions": []}
            async with (
                aiohttp.ClientSession(running.url, headers=headers) as session,
                session.get("/actions/log") as response,
            ):
                assert response.status in (401, 403)


async def test_a_form_of_another_page_is_no_action(serve: Serve) -> None:
    async with serve() as running:
        for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            status, _ = await act(running, "hold", {"state": 1, "for_s": 60}, {"Content-Type": content_type})
            assert status == 415
        assert (await act(running, "fly"))[0] == 404
        assert (await act(running, "hold", {"state": "high"}))[1]["code"] == "option_invalid"


async def test_every_action_on_offer_has_its_texts(serve: Serve) -> None:
    texts = json.loads((PAGE / "en.json").read_text(encoding="utf-8"))["action"]
    async with serve(FakeEngine(CANARY_ROWS), wait_ready=True) as running:
        for name in (await offer(running))["actions"]:
            assert "button" in texts[name]
            assert name in ("log", "support_bundle") or {"question", "confirm", "done"} <= set(texts[name])


async def test_a_waiting_camera_is_approved_or_refused(serve: Serve, tmp_path: Path) -> None:
    async with serve(state__dir=str(tmp_path)) as running:
        pairings, tokens = running.started.parts.entrance.pairings, running.started.parts.entrance.tokens
        for name in ("gate", "yard"):
            pairings.ask(name, f"{name:x<40}", "192.168.1.5")
        waiting = (await offer(running))["waiting"]
        assert [one["name"] for one in waiting] == ["gate", "yard"]
        status, answer = await act(running, "pairing_approve", waiting[0])
        assert (status, answer["role"]) == (200, "camera")
        assert (await act(running, "pairing_refuse", waiting[1]))[0] == 200
        assert (await offer(running))["waiting"] == []
        assert tokens.match(f"{'gate':x<40}") is not None
        assert tokens.match(f"{'yard':x<40}") is None
        status, answer = await act(running, "pairing_approve", waiting[1])
        assert (status, answer["code"]) == (409, "pairing_unknown")


async def test_an_operator_reads_who_did_what(serve: Serve) -> None:
    async with serve() as running, aiohttp.ClientSession(running.url) as session:
        await first_reading(running)
        await act(running, "hold", {"state": 1, "for_s": 60})
        await act(running, "remove_camera", {"name": "never seen"})
        async with session.get("/actions/audit") as answer:
            newest, older, *_ = (await answer.json())["entries"]
        assert (newest["action"], newest["ok"], newest["fields"]["code"]) == ("camera_forget", False, "camera_unknown")
        assert (older["action"], older["ok"], older["who"]) == ("governor_hold", True, "loopback (operator)")
        for _ in range(300):
            await act(running, "remove_camera", {"name": "never seen"})
        async with session.get("/actions/audit") as answer:
            assert len((await answer.json())["entries"]) == 200


async def test_the_settings_are_checked_without_a_change(serve: Serve, tmp_path: Path) -> None:
    settings = tmp_path / "appliance.toml"
    settings.write_text("[flow]\nburst = 3\n")
    async with serve(toml=settings) as running:
        assert await act(running, "check_settings") == (200, {"problem": None})
        settings.write_text("[flow]\nbrust = 3\n")
        status, answer = await act(running, "check_settings")
        assert status == 200
        assert "did you mean 'burst'" in answer["problem"]
        assert "config_not_reloaded" not in [found["code"] for found in running.report()["findings"]]
        assert last_audit(running).action == "settings_check"
        assert (last_audit(running).ok, last_audit(running).fields["code"]) == (False, "config_invalid")
