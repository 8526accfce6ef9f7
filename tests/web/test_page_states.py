"""Each state of the device in a real browser: what the page says, that it fits, and that it is accessible.

`SCREENSHOTS=folder` saves screenshots.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.commands.support_bundle import static_page
from appliance.health.facts import Cause, LinkNotice, Notices, UpdateNotices
from appliance.health.finding import Severity
from appliance.health.findings import advise
from appliance.links.reasons import LinkProblem
from appliance.web import page_files
from tests.web import chromium, page_rig, page_states
from tests.web.page_checks import keep, violations
from tests.web.page_rig import MadeUp, camera, cameras, healthy, serving
from tests.web.page_states import ODD_NAMES, STATES

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="no Chromium on this machine: `apt install chromium`")

TEXT = "document.body.innerText"
HERE = "document.body.dataset.state !== 'waiting'"
# Width, height, dark, language, part of the normal text size, states.
LOOKS = {
    "phone": (390, 844, False, "pt-BR", 1.0, tuple(STATES)),
    "small_phone": (320, 640, False, "pt-BR", 1.0, ("demo", "silent", "hot", "64_cameras", "odd_names")),
    "desk": (1280, 900, True, "en-GB", 1.0, ("demo", "gone", "too_hot", "64_cameras")),
    "large_text": (390, 844, False, "en-GB", 2.0, ("silent", "safe_mode", "odd_names")),
}
DEVICE_ACTIONS = [
    "self_test", "benchmark", "hold", "activate", "roll_back", "test_mqtt", "check_settings", "reload", "restart",
    "log", "support_bundle", "erase",
]  # fmt: skip


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[int]:
    async with chromium.running() as port:
        yield port


@pytest.mark.parametrize("look", LOOKS)
async def test_every_state_is_said_fits_and_is_accessible(browser: int, look: str) -> None:
    width, height, dark, language, scale, names = LOOKS[look]
    made_up = MadeUp()
    async with (
        serving(made_up) as url,
        chromium.tab(url, width, height, dark=dark, language=language, port=browser) as tab,
    ):
        for name in names:
            state = STATES[name]
            made_up.health = state.health
            await tab.go(f"{url}/?{name}")
            await tab.until(HERE)
            await tab.evaluate(f"document.documentElement.style.fontSize = '{100 * scale}%'")
            await tab.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            said = state.portuguese if language == "pt-BR" else state.english
            assert said in (await tab.evaluate(TEXT)).replace("\n", " "), name
            assert await tab.evaluate(f"document.documentElement.scrollWidth <= {width}"), f"{name} scrolls sideways"
            assert await violations(tab) == [], name
            await keep(tab, f"{look}-{name}")
        assert tab.problems == []


_WHOLE = """(() => {
  const box = (one) => one.getBoundingClientRect();
  const all = (selector) => [...document.querySelectorAll(selector)].filter((one) => one.checkVisibility());
  const wrong = [];
  for (const name of all("#list .name")) if (name.scrollWidth > name.clientWidth) wrong.push(name.textContent);
  for (const title of all("article h3")) {
    if (box(title).height > 2 * box(title.parentElement).height / 3) wrong.push(title.textContent);
  }
  for (const one of all("article .about > *")) {
    if (box(one).right > box(one.parentElement).right) wrong.push(one.className);
  }
  for (const row of all("dl > div")) {
    const [name, value] = [...row.children].map(box);
    if (value.top < name.bottom && value.left < name.right) wrong.push(row.textContent);
  }
  for (const times of all(".plot .times")) {
    const labels = [...times.children].map(box).sort((a, b) => a.left - b.left);
    if (labels.some(({ left }, at) => at && left < labels[at - 1].right)) wrong.push(times.textContent);
  }
  for (const one of all("h1, #actions > *")) if (one.scrollWidth > one.clientWidth) wrong.push(one.textContent);
  return wrong;
})()"""
"""What is cut, squeezed into a column of letters, or written over something else."""


@pytest.mark.parametrize("language", ["en-GB", "pt-BR"])
async def test_with_text_of_twice_the_size_names_and_figures_stay_whole(browser: int, language: str) -> None:
    made_up = MadeUp(actions={"actions": DEVICE_ACTIONS, "models": ["a"], "model": "a", "max_state": 9})
    async with serving(made_up) as url, chromium.tab(url, 360, 740, language=language, port=browser) as tab:
        for name in ("demo", "silent", "too_hot"):
            made_up.health = STATES[name].health
            await tab.go(f"{url}/?{name}")
            await tab.until("document.querySelectorAll('#actions > *').length > 9")
            await tab.evaluate("document.documentElement.style.fontSize = '200%'")
            await tab.evaluate("document.querySelector('#history').scrollIntoView()")
            await tab.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # the plots are drawn again
            await tab.until(f"document.querySelectorAll('.plot .line-0').length === 6 && {_WHOLE}.length === 0")
            await keep(tab, f"twice-{language}-{name}")


@pytest.mark.parametrize("language", ["en-GB", "pt-BR"])
async def test_nothing_scrolls_sideways_on_a_narrow_phone(browser: int, language: str) -> None:
    entry = {
        "at": 1.8e9, "who": "a-very-long-name-without-a-space-0123456789 (operator)", "address": "fe80::1234:9abc:def0",
        "action": "model_activate", "ok": False, "fields": {"model": "yolo11n_a_model_with_a_very_long_name_1280x1280"},
    }  # fmt: skip
    made_up = MadeUp(
        STATES["odd_names"].health,
        actions={"actions": [*DEVICE_ACTIONS, "remove_camera"], "models": ["m" * 64], "model": "m", "max_state": 9},
        audit=[entry] * 3,
    )
    fits = "document.documentElement.scrollWidth <= 320"
    async with serving(made_up) as url, chromium.tab(url, 320, 640, language=language, port=browser) as tab:
        await tab.until(f"document.querySelectorAll('#actions button').length >= {len(DEVICE_ACTIONS) - 2}")
        await tab.evaluate("document.querySelector('#audit').open = true")
        await tab.until("document.querySelectorAll('#audit li').length === 3")
        assert await tab.evaluate(fits)
        assert await violations(tab) == []
        await keep(tab, f"narrow-{language}")
        for number in range(len(DEVICE_ACTIONS) - 2):
            await tab.evaluate(f"document.querySelectorAll('#actions button')[{number}].click()")
            assert await tab.evaluate(f"document.querySelector('dialog').scrollWidth <= 320 && {fits}"), number
            await tab.evaluate("document.querySelector('dialog .cancel').click()")
        await tab.evaluate(f"location.hash = 'camera=' + encodeURIComponent({ODD_NAMES[0]!r})")
        await tab.until("Boolean(document.querySelector('.camera-page dl dd'))")
        assert await tab.evaluate(fits)


async def test_the_list_of_actions_is_in_the_language_of_the_page(browser: int) -> None:
    done = {"at": 1.8e9, "who": "anna (operator)", "address": "192.168.1.7", "ok": True}
    made_up = MadeUp(
        actions={"actions": ["hold"], "max_state": 9},
        audit=[
            done | {"action": "governor_hold", "fields": {"level": 3, "for_s": 28_800}},
            done | {"action": "model_activate", "fields": {"model": "my_model", "force": False}},
            done | {"action": "erase", "ok": False, "fields": {"factory_reset": True, "code": "erase_unavailable"}},
        ],
    )
    async with serving(made_up) as url, chromium.tab(url, 390, 844, language="pt-BR", port=browser) as tab:
        await tab.until("!document.querySelector('#audit').hidden")
        await tab.evaluate("document.querySelector('#audit').open = true")
        await tab.until("document.querySelectorAll('#audit li').length === 3")
        text = " ".join((await tab.evaluate("document.querySelector('#audit').innerText")).split())
        assert "anna (operador)" in text
        for said in (
            "nível 3, por 8 h",
            "my_model",
            "sem sucesso com configuração e logs, nada foi apagado 15 de jan.",
        ):
            assert said in text


async def test_erasing_asks_what_and_sends_it(browser: int) -> None:
    made_up = MadeUp(STATES["demo"].health, actions={"actions": ["erase"]}, answer={"factory_reset": True})
    async with serving(made_up) as url, chromium.tab(url, 390, 844, language="pt-BR", port=browser) as tab:
        await tab.until("document.querySelectorAll('#actions button').length === 1")
        for scope in ("data", "all"):
            await tab.evaluate("document.querySelector('#actions button').click()")
            await tab.evaluate(f"document.querySelector('dialog select').value = '{scope}'")
            await tab.evaluate("document.querySelector('dialog .confirm').click()")
            await tab.until("!document.querySelector('dialog [aria-busy]')")
            await tab.evaluate("document.querySelector('dialog .cancel').click()")
        assert made_up.posted == [("erase", {"factory_reset": False}), ("erase", {"factory_reset": True})]
        made_up.answer, made_up.answer_status = {"error": "not installed", "code": "erase_unavailable"}, 409
        await tab.evaluate("document.querySelector('#actions button').click()")
        await tab.evaluate("document.querySelector('dialog .confirm').click()")
        await tab.until("document.querySelector('dialog .result').textContent.includes('nada foi apagado')")


async def test_a_camera_has_a_page_of_its_own_with_any_name(browser: int) -> None:
    made_up = MadeUp(STATES["odd_names"].health, actions={"actions": ["remove_camera"]})
    async with serving(made_up) as url, chromium.tab(url, 390, 844, port=browser) as tab:
        await tab.until(HERE)
        for name in ODD_NAMES:
            link = (
                f"[...document.querySelectorAll('#cameras h3 a')].find(({{ textContent }}) => textContent === {name!r})"
            )
            await tab.until(f"Boolean({link})")
            await tab.evaluate(f"{link}.click()")
            await tab.until(f"document.querySelector('.camera-page h2')?.textContent === {name!r}")
            await tab.until("document.querySelector('.camera-page canvas').width > 100")
            await tab.until("document.querySelectorAll('.camera-page .line-0').length === 2")
            await tab.evaluate("document.querySelector('.back').click()")
            await tab.until("document.querySelector('.camera-page') === null")
        await tab.evaluate(f"location.hash = 'camera=' + encodeURIComponent({ODD_NAMES[0]!r})")
        await tab.until("document.querySelectorAll('.camera-page .line-0').length === 2")
        assert await violations(tab) == []
        await keep(tab, "camera")
        await tab.evaluate("location.hash = 'camera=nobody'")
        await tab.until(f"{TEXT}.includes('does not know this camera')")
        assert tab.problems == []


async def test_the_page_of_a_camera_shows_nothing_that_is_not_so_any_more(browser: int) -> None:
    made_up = MadeUp(page_states.health({"yard": camera()}))
    text = "document.querySelector('.camera-page').innerText"
    async with serving(made_up) as url, chromium.tab(f"{url}/#camera=yard", 390, 844, port=browser) as tab:
        await tab.until(f"{text}.includes('Frames received') && {text}.includes('84\u202fms')")
        made_up.health = page_states.health({"yard": camera()}, silent_s={"yard": 7300.0})
        await tab.until(f"{text}.includes('Last frame')")
        assert "Frames received" not in await tab.evaluate(text)
        made_up.health = page_states.health({})
        await tab.until(f"{text}.includes('does not know this camera')")
        assert (await tab.evaluate(text)).split("\n\n")[1:] == [
            "yard",
            "The device does not know this camera, or not any more.",
        ]


async def test_a_label_is_edited_and_not_typed_again(browser: int) -> None:
    silent = page_states.health(cameras(1), silent_s={"camera 7": 7300.0})
    made_up = MadeUp(silent, actions={"actions": ["label_camera"]})
    made_up.health["known_cameras"]["camera 7"]["label"] = "Yard"
    label = "document.querySelector('dialog input').value"
    async with serving(made_up) as url, chromium.tab(f"{url}/#camera=camera 7", 390, 844, port=browser) as tab:
        await tab.until("document.querySelector('.camera-page h2')?.textContent === 'Yard'")
        await tab.until("document.querySelectorAll('.camera-page .actions button').length === 1")
        await tab.evaluate("document.querySelector('.camera-page .actions button').click()")
        assert await tab.evaluate(label) == "Yard"
        await tab.evaluate(f"{label} += ' 2'; document.querySelector('dialog .confirm').click()")
        await tab.until("document.querySelector('dialog .result').textContent === 'Saved.'")
        assert made_up.posted == [("label_camera", {"name": "camera 7", "label": "Yard 2"})]


async def test_the_worst_camera_comes_first_and_keeps_its_place(browser: int) -> None:
    made_up = MadeUp(STATES["silent"].health)
    async with serving(made_up) as url, chromium.tab(url, 1280, 900, port=browser) as tab:
        await tab.until("document.querySelectorAll('#cameras h3').length === 12")
        names = "[...document.querySelectorAll('#cameras h3')].map((title) => title.textContent)"
        assert (await tab.evaluate(names))[:4] == ["camera 7", "camera 12", "camera 3", "camera 1"]
        assert await tab.evaluate("document.querySelectorAll('#list li').length") == 20
        await tab.evaluate("document.querySelector('.more').click()")
        assert len(await tab.evaluate(names)) == 20
        assert await tab.evaluate("document.querySelector('#notes').open") is False
        assert await tab.evaluate("document.querySelector('#notes summary').textContent") == "1 note"


@pytest.mark.parametrize(("silent_s", "first"), [(600.0, "gone 1"), (90_000.0, "live 1")])
async def test_cameras_that_have_gone_leave_room_for_live_ones(browser: int, silent_s: float, first: str) -> None:
    live = {f"live {number}": camera() for number in (1, 2)}
    made_up = MadeUp(page_states.health(live, silent_s={f"gone {number}": silent_s for number in range(1, 69)}))
    names = "[...document.querySelectorAll('#cameras h3')].map((title) => title.textContent)"
    async with serving(made_up) as url, chromium.tab(url, 390, 844, language="en-GB", port=browser) as tab:
        await tab.until("document.querySelectorAll('#cameras h3').length === 12")
        shown = await tab.evaluate(names)
        assert shown[0] == first, "what has just failed comes first, what failed days ago does not"
        assert {"live 1", "live 2"} <= set(shown)
        await keep(tab, f"gone-{silent_s:.0f}")
        await tab.evaluate("document.querySelector('.more').click()")
        assert len(await tab.evaluate(names)) == 70


async def test_the_header_does_not_repeat_the_findings(browser: int) -> None:
    async with serving(MadeUp(STATES["hot"].health)) as url, chromium.tab(url, 390, 844, port=browser) as tab:
        await tab.until("document.querySelectorAll('.finding').length === 1")
        head = await tab.evaluate("document.querySelector('header').innerText")
        assert "1 problem needs attention. 20 cameras active." in head
        assert "The chip" not in head


async def test_without_detection_no_camera_is_active(browser: int) -> None:
    why = "document.querySelector('#why').textContent"
    made_up = MadeUp(page_states.health(cameras(2)))
    async with serving(made_up) as url, chromium.tab(url, 390, 844, language="en-GB", port=browser) as tab:
        await tab.until(f"{why} === '2 cameras active.'")
        made_up.health["model_loaded"] = False
        await tab.until(f"{why} === '2 cameras connected, no detection.'")
        made_up.health["model_loaded"] = True
        made_up.health["governor"]["limits"]["admit"] = False
        await tab.until(f"{why} === '2 cameras connected, no detection.'")
        made_up.health["governor"]["limits"]["admit"] = True
        made_up.health["cameras"]["camera 1"]["answered_fps"] = 0.0
        await tab.until(f"{why} === '1 of 2 cameras active.'")


async def test_the_language_can_be_switched_and_stays(browser: int) -> None:
    async with serving(MadeUp()) as url, chromium.tab(url, 390, 844, language="en-US", port=browser) as tab:
        await tab.until(f"{TEXT}.includes('This device')")
        await tab.evaluate("[...document.querySelectorAll('#language button')].at(-1).click()")
        await tab.until(f"{TEXT}.includes('Este equipamento')")
        await tab.go(f"{url}/health")
        await tab.until(f"{TEXT}.includes('Este equipamento')")
        assert await tab.evaluate("document.documentElement.lang") == "pt-BR"
        assert "61,5\u202f°C" in await tab.evaluate(TEXT), "figures in the form of the language"


async def test_a_camera_whose_picture_has_a_fault_says_which(browser: int) -> None:
    advice = advise(Severity.DEGRADED, "Covered: {cameras}.", "Clean the glass.", cameras=("camera 2",))
    made_up = MadeUp(healthy(cameras(3), [page_rig.finding("camera_covered", Severity.DEGRADED, advice)]))
    async with serving(made_up) as url, chromium.tab(url, 390, 844, port=browser) as tab:
        await tab.until("document.querySelectorAll('#cameras h3').length === 3")
        first = await tab.evaluate("document.querySelector('#cameras article').innerText")
        assert "camera 2" in first
        assert "Covered" in first


async def test_a_camera_that_is_asked_for_few_frames_has_an_interval_and_no_rate_of_zero(browser: int) -> None:
    slow = camera(0.05)
    slow["answered_fps"], slow["limits"]["min_interval"] = 0.0, 21.0
    made_up = MadeUp(healthy({"gate": camera(0.05) | {"answered_fps": 0.05}}), results_every_s=0.2)
    rate = "document.querySelector('#cameras .fps')?.textContent"
    async with serving(made_up) as url, chromium.tab(url, 390, 844, language="en-GB", port=browser) as tab:
        await tab.until(f"{rate} === 'one frame every 20\u202fs'")
        made_up.health["cameras"]["gate"] = slow
        await tab.until(f"{rate} === 'one frame every 21\u202fs'")
        await tab.evaluate("location.hash = 'camera=gate'")
        await tab.until("document.querySelector('.camera-page dl').innerText.includes('one frame every 21\u202fs')")


async def test_a_duration_is_the_same_in_a_finding_and_on_a_card(browser: int) -> None:
    made_up = MadeUp(page_states.health(cameras(2), silent_s={"gate": 7319.9}))
    async with serving(made_up) as url, chromium.tab(url, 390, 844, language="en-GB", port=browser) as tab:
        await tab.until(f"{TEXT}.includes('No frames for 2\u202fh 1\u202fmin')")
        assert await tab.evaluate(f"{TEXT}.includes('No frame for 2 h 1 min')")


async def test_a_finding_without_a_translation_is_shown_in_english(browser: int) -> None:
    unknown = page_rig.finding(
        "found_on_mars", Severity.DEGRADED, advise(Severity.DEGRADED, "Water: {n}.", "Dig.", n=3)
    )
    made_up = MadeUp(healthy(cameras(1), [unknown]))
    async with serving(made_up) as url, chromium.tab(url, 390, 844, language="pt-BR", port=browser) as tab:
        await tab.until(f"{TEXT}.includes('Water: 3.') && {TEXT}.includes('Dig.')")


async def test_a_picture_that_was_missing_appears_before_the_next_result(browser: int) -> None:
    made_up = MadeUp(pictures_missing=1, results_every_s=3600.0)
    async with serving(made_up) as url, chromium.tab(url, 390, 844, language="en-GB", port=browser) as tab:
        await tab.until("document.querySelector('#cameras canvas')?.width > 100")
        label = await tab.evaluate("document.querySelector('#cameras canvas').getAttribute('aria-label')")
        assert label == "Latest picture of camera 1: No result yet: picture only"
        assert made_up.pictures_missing == 0
        await keep(tab, "no-result")


async def test_a_lost_broker_has_a_button_that_tests_the_connection(browser: int) -> None:
    lost = LinkProblem("link_refused")
    notices = Notices(mqtt_problem=LinkNotice("broker:1883", lost.code, lost.detail, str(lost)))
    made_up = MadeUp(page_states.health(cameras(1), notices=notices), actions={"actions": ["test_mqtt", "restart"]})
    async with serving(made_up) as url, chromium.tab(url, 390, 844, language="en-GB", port=browser) as tab:
        for problem, said in (
            (lost, f"No message reached the broker broker:1883: {lost}."),
            (LinkProblem("mqtt_rejected", "Banned"),
             "No message reached the broker broker:1883: the broker refuses the device (“Banned”)."),
            (None, "The broker broker:1883 has confirmed the test message."),
        ):  # fmt: skip
            made_up.answer = {"broker": "broker:1883", "problem": None}
            if problem is not None:
                made_up.answer |= {"problem": str(problem), "reason": problem.code, "detail": problem.detail}
            await tab.until("document.querySelector('.finding .follow button')?.textContent === 'Test MQTT'")
            await tab.evaluate("document.querySelector('.finding .follow button').click()")
            await tab.evaluate("document.querySelector('dialog .confirm').click()")
            await tab.until(f"document.querySelector('dialog .result').textContent === {said!r}")
            await keep(tab, f"mqtt-{'confirmed' if problem is None else 'lost'}")
            await tab.evaluate("document.querySelector('dialog .cancel').click()")
        assert made_up.posted == [("test_mqtt", {})] * 3


async def test_why_a_link_fails_is_said_in_the_language_of_the_page(browser: int) -> None:
    login, certificate = LinkProblem("mqtt_login"), LinkProblem("link_certificate", "self-signed certificate")
    notices = Notices(
        mqtt_problem=LinkNotice("broker:1883", login.code, login.detail, str(login)),
        webhook_problems=(LinkNotice("alarm", certificate.code, certificate.detail, str(certificate)),),
    )
    made_up = MadeUp(page_states.health(cameras(1), notices=notices))
    async with serving(made_up) as url, chromium.tab(url, 390, 844, language="pt-BR", port=browser) as tab:
        await tab.until("document.querySelectorAll('#findings .finding').length === 2")
        text = " ".join((await tab.evaluate("document.querySelector('#findings').innerText")).split())
        assert "Sem conexão com o broker MQTT broker:1883: o broker não aceita este usuário ou esta senha." in text
        assert "alarm. Motivo do primeiro: o certificado não é confiável (“self-signed certificate”)." in text


async def test_why_a_model_or_an_update_is_not_in_use_is_said_in_the_language_of_the_page(browser: int) -> None:
    notices = Notices(
        activation_error=Cause("model_corrupt", "b was not activated: its checksum differs"),
        update=UpdateNotices(refused=Cause("update_space", "the update needs 900 MB at /opt; 20 MB are free")),
    )
    missing = Cause("engine_device_missing", "the device has no GPU")
    made_up = MadeUp(page_states.health(cameras(1), model_error=missing, notices=notices))
    async with serving(made_up) as url, chromium.tab(url, 390, 844, language="pt-BR", port=browser) as tab:
        await tab.until("document.querySelectorAll('#findings .finding').length === 3")
        text = " ".join((await tab.evaluate("document.querySelector('#findings').innerText")).split())
        assert (
            "pois o processador escolhido para a inferência não existe neste equipamento. Detalhe: “the device" in text
        )
        assert "não foi ativado: os arquivos do modelo estão danificados. Detalhe: “b was not" in text
        assert "não foi instalada: falta espaço em disco para a atualização. Detalhe: “the update needs" in text


async def test_the_page_opens_when_the_device_is_off_and_recovers(browser: int) -> None:
    made_up = MadeUp()
    async with serving(made_up) as url, chromium.tab(url, 390, 844, port=browser) as tab:
        await tab.until("navigator.serviceWorker.ready.then(({ active }) => active.state === 'activated')")
        await tab.until(f"{TEXT}.includes('1 camera active')")
        made_up.down = True
        await tab.go(f"{url}/")
        await tab.until(f"{TEXT}.includes('Not reachable') && {TEXT}.includes('last seen at')")
        assert await tab.evaluate("getComputedStyle(document.querySelector('header')).display") == "grid", "no styles"
        await keep(tab, "off")
        made_up.down = False
        await tab.until(f"{TEXT}.includes('1 camera active')")


async def test_an_action_asks_once_and_says_what_came_of_it(browser: int) -> None:
    made_up = MadeUp(
        STATES["silent"].health,
        actions={
            "actions": ["hold", "release", "restart", "activate"],
            "models": ["a", "b"],
            "model": "a",
            "max_state": 6,
        },
    )
    async with serving(made_up) as url, chromium.tab(url, 390, 844, language="en-GB", port=browser) as tab:
        await tab.until("document.querySelectorAll('#actions button').length === 3")
        assert await tab.evaluate("document.querySelector('#notes button').textContent") == "Release throttle level"
        hold = "[...document.querySelectorAll('#actions button')].find((one) => one.textContent.startsWith('Hold'))"
        await tab.evaluate(f"{hold}.click()")
        assert await violations(tab) == []
        await keep(tab, "action")
        await tab.evaluate("document.querySelector('dialog .cancel').click()")
        assert made_up.posted == []
        await tab.evaluate(f"{hold}.click(); document.querySelector('dialog select').value = '2'")
        made_up.answer = {"cur_state": 2}
        await tab.evaluate("document.querySelector('dialog .confirm').click()")
        await tab.until("document.querySelector('dialog .result').textContent === 'Held at level 2.'")
        assert made_up.posted == [("hold", {"state": 2, "for_s": 600})]
        assert await tab.evaluate("document.activeElement.textContent") == "Close"
        await tab.evaluate("document.querySelector('dialog .cancel').click()")
        made_up.answer, made_up.answer_status = {"error": "b is broken", "code": "model_not_activated"}, 409
        change = "[...document.querySelectorAll('#actions button')].find((one) => one.textContent === 'Change model')"
        await tab.evaluate(f"{change}.click(); document.querySelector('dialog .confirm').click()")
        await tab.until("document.querySelector('dialog .result').textContent === 'Not done: b is broken'")
        assert await violations(tab) == []


async def test_what_can_be_done_follows_what_was_done_here_and_elsewhere(browser: int) -> None:
    """After an activation there is a previous model; a restart may be over before the page notices it."""
    made_up = MadeUp(actions={"actions": ["activate"], "models": ["a", "b"], "model": "a"})
    shown = "[...document.querySelectorAll('#actions button')].map((one) => one.textContent).join()"
    async with serving(made_up) as url, chromium.tab(url, 390, 844, language="en-GB", port=browser) as tab:
        await tab.until(f"{shown} === 'Change model'")
        made_up.actions = {"actions": ["activate", "roll_back"], "models": ["a", "b"], "model": "b"}
        made_up.answer = {"model": "b", "former": "a", "infer_ms": 31.0, "kept": True}
        await tab.evaluate("document.querySelector('#actions button').click()")
        await tab.evaluate("document.querySelector('dialog .confirm').click()")
        await tab.until(f"{shown} === 'Change model,Previous model'")
        await tab.evaluate("document.querySelector('dialog .cancel').click()")
        await tab.evaluate("document.querySelector('#actions button').click()")
        assert "b (in use)" in await tab.evaluate("document.querySelector('dialog select').innerText")
        made_up.actions = {"actions": ["activate", "test_mqtt"], "models": ["a", "b"], "model": "b"}
        made_up.health["service"]["restarts"] += 1
        await tab.until(f"{shown} === 'Change model,Test MQTT'")
        made_up.actions = {"actions": ["activate", "roll_back"], "models": ["a", "b"], "model": "a"}
        made_up.health["engine"]["model"] = "a"
        await tab.until(f"{shown} === 'Change model,Previous model'")
        asked = made_up.paths.count("/actions")
        await asyncio.sleep(5)
        assert made_up.paths.count("/actions") == asked, "asked again without a reason"


async def test_focus_stays_when_an_action_replaces_the_buttons(browser: int) -> None:
    made_up = MadeUp(actions={"actions": ["activate", "restart"], "models": ["a", "b"], "model": "a"})
    made_up.answer = {"model": "b", "infer_ms": 30.0}
    focused = "document.activeElement.dataset.action"
    async with serving(made_up) as url, chromium.tab(url, 390, 844, language="en-GB", port=browser) as tab:
        await tab.until("document.querySelectorAll('#actions button').length === 2")
        await tab.evaluate("document.querySelector('#actions button').focus()")
        await tab.evaluate("document.activeElement.click()")
        made_up.actions = {"actions": ["activate", "roll_back", "restart"], "models": ["a", "b"], "model": "b"}
        await tab.evaluate("document.querySelector('dialog .confirm').click()")
        await tab.until("document.querySelectorAll('#actions button').length === 3")
        await tab.evaluate("document.querySelector('dialog .cancel').click()")
        await tab.until(f"{focused} === 'activate'")
        await tab.evaluate("document.activeElement.click()")
        made_up.actions = {"actions": ["restart"]}
        await tab.evaluate("document.querySelector('dialog .confirm').click()")
        await tab.until("document.querySelectorAll('#actions button').length === 1")
        await tab.evaluate("document.querySelector('dialog .cancel').click()")
        await tab.until("document.activeElement.id === 'device'")


async def test_a_dialog_offers_to_close_and_not_to_cancel_what_runs(browser: int) -> None:
    made_up = MadeUp(actions={"actions": ["benchmark"]}, answer_after_s=1.0)
    cancel = "document.querySelector('dialog .cancel').textContent"
    async with serving(made_up) as url, chromium.tab(url, 390, 844, language="en-GB", port=browser) as tab:
        await tab.until("document.querySelectorAll('#actions button').length === 1")
        await tab.evaluate("document.querySelector('#actions button').click()")
        assert await tab.evaluate(cancel) == "Cancel"
        await tab.evaluate("document.querySelector('dialog .confirm').click()")
        assert await tab.evaluate("document.querySelector('dialog .result').textContent") == "Running…"
        assert await tab.evaluate(cancel) == "Close"


async def test_an_action_ends_when_the_device_has_gone(browser: int) -> None:
    made_up = MadeUp(actions={"actions": ["benchmark"]}, answer_after_s=60.0)
    result = "document.querySelector('dialog .result').textContent"
    async with serving(made_up) as url, chromium.tab(url, 390, 844, language="en-GB", port=browser) as tab:
        await tab.until("document.querySelectorAll('#actions button').length === 1")
        await tab.evaluate("document.querySelector('#actions button').click()")
        await tab.evaluate("document.querySelector('dialog .confirm').click()")
        while not made_up.posted:
            await asyncio.sleep(0.05)
        made_up.down = True
        await tab.until("document.body.dataset.state === 'down'")
        assert await tab.evaluate(result) == "Running…", "a short outage ends nothing"
        await tab.until(f"{result}.startsWith('The device did not answer.')")
        assert await tab.evaluate("document.activeElement.textContent") == "Close"


async def test_a_benchmark_without_a_sensor_says_nothing_of_the_temperature(browser: int) -> None:
    made_up = MadeUp(actions={"actions": ["benchmark"]})
    made_up.answer = {"fps": 31.5, "infer_ms": 30.4, "frames": 1575, "start_temp_c": None, "end_temp_c": None}
    said = "document.querySelector('dialog .result')?.textContent"
    async with serving(made_up) as url, chromium.tab(url, 390, 844, language="en-GB", port=browser) as tab:
        for temp_c, end in ((None, "1,575 frames."), (61.0, "1,575 frames. Chip from 61\u202f°C to 61\u202f°C.")):
            made_up.answer |= {"start_temp_c": temp_c, "end_temp_c": temp_c}
            await tab.until("document.querySelectorAll('#actions button').length === 1")
            await tab.evaluate("document.querySelector('#actions button').click()")
            await tab.evaluate("document.querySelector('dialog .confirm').click()")
            await tab.until(f"{said} === '31.5 frames per second, 30.4 ms for an inference, {end}'")
            await tab.evaluate("document.querySelector('dialog .cancel').click()")


async def test_names_in_findings_are_shown_as_they_are(browser: int) -> None:
    """Of cameras, files and settings, in each language; a camera with a label is linked by it."""
    names = {"front_door": 7300.0, "held": 7300.0}
    notices = Notices(safe_mode="/etc/my_site.toml: unknown key 'flow.max_sides'")
    made_up = MadeUp(page_states.health(cameras(1), silent_s=names, notices=notices))
    made_up.health["known_cameras"]["front_door"]["label"] = "Portão"
    async with serving(made_up) as url:
        for language in ("pt-BR", "en-GB"):
            async with chromium.tab(url, 390, 844, language=language, port=browser) as tab:
                await tab.until("document.querySelectorAll('#findings li').length === 2")
                text = await tab.evaluate("document.querySelector('#findings').innerText")
                assert "/etc/my_site.toml: unknown key 'flow.max_sides'" in text
                assert "front_door, held" in text
                links = await tab.evaluate("[...document.querySelectorAll('.follow a')].map((one) => one.textContent)")
                assert links == ["Portão (front_door)", "held"]


async def test_nobody_is_shown_what_he_may_not_do(browser: int) -> None:
    async with serving(MadeUp(STATES["silent"].health)) as url, chromium.tab(url, 390, 844, port=browser) as tab:
        await tab.until("document.querySelectorAll('#cameras h3').length === 12")
        assert await tab.evaluate("document.querySelectorAll('.follow button').length") == 0
        assert await tab.evaluate("document.querySelector('#actions-section').hidden") is True


async def test_a_stranger_sees_the_state_and_signs_in_and_out(browser: int) -> None:
    made_up = MadeUp(STATES["hot"].health, token="s3cret")
    async with serving(made_up) as url, chromium.tab(url, 390, 844, port=browser) as tab:
        await tab.until(f"{TEXT}.includes('Sign in to see more.')")
        text = await tab.evaluate(TEXT)
        assert "Degraded" in text
        assert "This device" not in text
        assert "/socket.io/" not in made_up.paths, "a stranger is refused there, and a camera's token takes its place"
        await tab.until("document.querySelector('#token').checkVisibility()")
        assert await violations(tab) == []
        await keep(tab, "stranger")
        for token, said in (("wrong", "The token was rejected"), ("s3cret", "The chip is hot")):
            await tab.evaluate(f"document.querySelector('#token').value = {token!r}")
            await tab.evaluate("document.querySelector('#token-form button').click()")
            await tab.until(f"{TEXT}.includes({said!r})")
        assert "Signed in as anna (operator)." in await tab.evaluate(TEXT)
        while "/socket.io/" not in made_up.paths:
            await asyncio.sleep(0.05)
        assert await tab.evaluate("document.cookie") == "", "a script can read the session"
        await tab.evaluate("document.querySelector('#sign-out').click()")
        await tab.until(f"{TEXT}.includes('Sign in to see more.') && !{TEXT}.includes('The chip')")
        await tab.evaluate("location.hash = 'token=s3cret'")
        await tab.until(f"{TEXT}.includes('The chip is hot')")
        assert await tab.evaluate("location.hash") == "", "the token stays in the address"


async def test_the_page_says_who_is_signed_in_and_what_a_token_does_not_permit(browser: int) -> None:
    made_up = MadeUp(STATES["demo"].health, token="third", role="camera", sign_ins_refused=True)
    press = "document.querySelector('#token').value = 'third'; document.querySelector('#token-form button').click()"
    async with serving(made_up) as url, chromium.tab(url, 390, 844, port=browser) as tab:
        await tab.until("document.querySelector('#token').checkVisibility()")
        await tab.evaluate(press)
        await tab.until(f"{TEXT}.includes('Too many wrong tokens.')")
        made_up.sign_ins_refused = False
        await tab.evaluate(press)
        await tab.until(f"{TEXT}.includes('The token of anna does not permit you to see the device.')")
        assert await tab.evaluate("document.querySelector('#token').checkVisibility()")
        assert "Signed in as anna (camera)." in await tab.evaluate(TEXT)
        made_up.role = "operator"
        await tab.until(f"{TEXT}.includes('1 camera active')")
        made_up.down = True
        await tab.evaluate("document.querySelector('#sign-out').click()")
        await tab.until(f"{TEXT}.includes('You are still signed in: the device did not answer.')")
        made_up.down, made_up.token = False, "another"
        await tab.until(f"{TEXT}.includes('Sign in to see more.')")
        await tab.until("document.querySelector('#session').hidden")
        assert "You are no longer signed in. Enter a token again." in await tab.evaluate(TEXT)


async def test_a_stranger_signs_in_at_the_address_of_a_camera(browser: int) -> None:
    made_up = MadeUp(STATES["demo"].health, token="an0ther")
    async with serving(made_up) as url, chromium.tab(f"{url}/#camera=demo", 390, 844, port=browser) as tab:
        await tab.until("document.querySelector('#token').checkVisibility()")
        assert await tab.evaluate("document.querySelector('.camera-page').checkVisibility()") is False
        await tab.evaluate("document.querySelector('#token').value = 'an0ther'")
        await tab.evaluate("document.querySelector('#token-form button').click()")
        await tab.until("document.querySelector('.camera-page').checkVisibility()")
        assert await tab.evaluate("document.querySelector('#overview').checkVisibility()") is False


async def test_the_page_of_a_support_bundle_opens_without_a_device(browser: int, tmp_path: Path) -> None:
    made_up = MadeUp(STATES["hot"].health)
    reports = {"health.json": made_up.health, "history-hour.json": made_up.history, "history-day.json": made_up.history}
    files = {name: json.dumps(report).encode() for name, report in reports.items()}
    page = tmp_path / "index.html"
    page.write_bytes(static_page.build(files, "Device gate"))
    async with chromium.tab(page.as_uri(), 1280, 3000, port=browser) as tab:
        await tab.until(f"{TEXT}.includes('The chip is hot') && {TEXT}.includes('20 cameras')")
        await tab.until("document.querySelectorAll('.plot .line-0').length === 6")
        assert "Device gate" in await tab.evaluate(TEXT)
        await tab.evaluate("const now = performance.now.bind(performance); performance.now = () => now() + 60000")
        await tab.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        assert await tab.evaluate("document.querySelectorAll('#cameras article').length") == 12
        assert await tab.evaluate("document.querySelectorAll('[data-state=stalled], [data-state=idle]').length") == 0
        await keep(tab, "bundle")
        await tab.evaluate("location.hash = 'camera=camera 1'")
        await tab.until("document.querySelector('.camera-page dl dd') !== null")
        assert await tab.evaluate("document.querySelectorAll('.camera-page .button').length") == 0, (
            "there is no picture"
        )
        await tab.evaluate("[...document.querySelectorAll('#language button')].at(-1).click()")
        await tab.until(f"{TEXT}.includes('O estado naquele momento.')")
        assert tab.problems == []


async def test_a_reason_is_shown_as_it_is(browser: int) -> None:
    """In JavaScript `$&` in a replacement stands for what it replaces."""
    step = """
      const { refusal } = await import(document.querySelector("link[href*='language.js']").href);
      return refusal("CODE", "no folder $&, $1 or $$");
    """
    catalogue = json.loads((Path(page_files.__file__).parent / "page/pt-BR.json").read_text())["refusals"]
    code, text = next((code, text) for code, text in catalogue.items() if "{reason}" in text)
    async with serving(MadeUp()) as url, chromium.tab(url, 390, 844, language="pt-BR", port=browser) as tab:
        await tab.until(HERE)
        shown = await tab.evaluate(f"(async () => {{ {step.replace('CODE', code)} }})()")
    assert shown == text.replace("{reason}", "no folder $&, $1 or $$")
