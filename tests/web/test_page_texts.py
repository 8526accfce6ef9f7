"""The page's catalogues are complete: every text in every language, findings included."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import appliance
import appliance.health.checks
from appliance.health.catalogue import CATALOGUE
from appliance.identity.roles import Role
from appliance.links import reasons
from appliance.update.places import FAULTS
from appliance.web.page_files import PAGE

ENGLISH = json.loads((PAGE / "en.json").read_text(encoding="utf-8"))
OTHERS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in PAGE.glob("*.json") if path.stem != "en"}
# English has none: the service's own texts are English.
SERVICE_TEXTS = ("findings.", "words.", "refusals.")
PACKAGE = Path(appliance.__file__).parent
NO_REFUSALS = frozenset({"not_running", "shutting_down"})
"""Of the client, and of frames."""
CODES = {check.code for check in CATALOGUE}


def texts(part: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in part.items():
        if isinstance(value, dict):
            yield from texts(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def places(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def own_texts(catalogue: dict[str, Any]) -> dict[str, str]:
    return {key: text for key, text in texts(catalogue) if not key.startswith(SERVICE_TEXTS) or key == "findings.title"}


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_every_text_with_the_same_places(language: str) -> None:
    english, other = own_texts(ENGLISH), own_texts(OTHERS[language])
    assert set(english) == set(other)
    for key, text in english.items():
        if not key.endswith(".one"):
            assert places(text) == places(other[key]), key


def advices() -> Iterator[tuple[str, str, set[str]]]:
    """(code, case, names of the values) of each text that a check may give."""
    for path in Path(appliance.health.checks.__file__).parent.glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef) or function.name not in CODES:
                continue
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ("advise", "Advice"):
                    named = {one.arg or "": one.value for one in call.keywords}
                    case = call.args[3] if len(call.args) > 3 else named.pop("case", ast.Constant(""))
                    assert isinstance(case, ast.Constant), f"{function.name}: the case is not a literal"
                    yield function.name, str(case.value), set(named) - {"severity", "what", "do"}


def test_every_check_is_found() -> None:
    assert {code for code, _, _ in advices()} == CODES


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_every_finding(language: str) -> None:
    findings = OTHERS[language]["findings"]
    missing = []
    for code, case, values in advices():
        text = findings.get(code, {})
        if case:
            text = text.get(case, {})
        if not {"what", "do"} <= set(text):
            missing.append((code, case))
            continue
        used = places(text["what"]) | places(text["do"])
        assert used <= values, f"{code} {case}: {used - values} is not among the finding's values"
    assert not missing, f"{language}.json: add a text for {missing}"
    assert set(findings) - CODES == {"title"}, "texts of findings that do not exist"


def test_every_text_that_the_page_asks_for_exists() -> None:
    known = set(own_texts(ENGLISH)) | {key.rpartition(".")[0] for key in own_texts(ENGLISH)}
    for path in PAGE.iterdir():
        text = path.read_text(encoding="utf-8")
        asked = re.findall(r"""\bt\("([\w.]+)\"""", text) + re.findall(r'data-(?:text|label)="([\w.]+)"', text)
        assert set(asked) <= known, path.name


def test_every_text_is_asked_for() -> None:
    """A key, or the beginning of one in a template string, is in some file of the page."""
    source = "".join(path.read_text(encoding="utf-8") for path in PAGE.iterdir() if path.suffix in (".js", ".html"))
    beginnings = tuple(re.findall(r"t\(`([\w.]+)\$\{", source))
    for key in own_texts(ENGLISH):
        whole = key.removesuffix(".one").removesuffix(".other")
        assert f'"{whole}"' in source or key.startswith(beginnings), key


def refusal_codes() -> set[str]:
    """The codes of errors that an action can end with: classes of errors, and those given to them."""
    codes = set()
    for room in (
        "control",
        "engines",
        "flow",
        "health",
        "identity",
        "models",
        "service",
        "device/erasure.py",
        "programs.py",
    ):
        place = PACKAGE / room
        for path in [place] if place.is_file() else place.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and re.search(r"(Error|Refused|Denied)$", getattr(node.func, "id", "")):
                    codes |= {one.value for one in node.args[1:2] if isinstance(one, ast.Constant)}
                if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "code":
                    codes |= {node.value.value} if isinstance(node.value, ast.Constant) else set()
    return {str(code) for code in codes if re.fullmatch(r"[a-z_]+", str(code))} - NO_REFUSALS


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_every_reason_for_which_an_action_is_refused(language: str) -> None:
    texts = OTHERS[language]["refusals"]
    assert refusal_codes() <= set(texts)
    assert all(places(text) <= {"reason"} for text in texts.values())


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_every_cause_for_which_an_update_is_not_installed(language: str) -> None:
    assert set(OTHERS[language]["refusals"]) >= FAULTS


@pytest.mark.parametrize("language", ["en", *OTHERS])
def test_every_language_has_every_reason_why_a_link_fails(language: str) -> None:
    catalogue = {"en": ENGLISH, **OTHERS}[language]
    assert set(catalogue["reasons"]) == set(reasons.ENGLISH)
    assert language != "en" or catalogue["reasons"] == reasons.ENGLISH


def test_what_the_service_says_in_english_is_quoted_in_other_languages() -> None:
    for language, catalogue in OTHERS.items():
        for code, text in catalogue["refusals"].items():
            assert "{reason}" not in text or "“{reason}”" in text, f"{language} {code}"


def test_every_role_has_a_name() -> None:
    assert set(ENGLISH["roles"]) == {role.value for role in Role}


def test_every_action_in_the_audit_list_has_a_name() -> None:
    audited = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        audited |= set(re.findall(r'audit\.record\(\w+, "(\w+)"', text))
        audited |= set(re.findall(r'Verb\(\s*[\w.]+, "(\w+)"', text))
    assert audited <= set(ENGLISH["audit"]["actions"])


COMMAND = re.compile(r"`(sudo )?(appliance|journalctl|systemctl) ")
FOLLOWED_BY_HAND = {
    "auth_off": "takes a decision about every client; tokens are shown once, on the console",
    "tokens_unusable": "without an operator's token nobody can press a button",
    "token_short": "settings are changed by hand, on the device and on the client",
    "name_taken": "rotating a token disconnects its holder, who must be given the new one",
    "update_available": "an update is installed by a program of its own as root, not by the service",
    "update_stale": "as update_available",
    "update_undone": "as update_available",
    "update_refused": "as update_available",
    "disk_low": "the service may not delete what is not its own",
}
"""Findings whose advice is a command that has no button, and why."""


def test_every_finding_whose_advice_is_a_command_has_its_button() -> None:
    source = (PAGE / "findings.js").read_text(encoding="utf-8")
    table = source[source.index("const ACTIONS = {") : source.index("};")]
    buttons = {code: re.findall(r'"(\w+)"', names) for code, names in re.findall(r"(\w+): \[(.*?)\]", table)}
    assert set(buttons) <= CODES
    assert {name for names in buttons.values() for name in names} <= set(ENGLISH["action"])
    commanding = set()
    for path in Path(appliance.health.checks.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        commands = {
            node.targets[0].id
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and COMMAND.search(ast.unparse(node.value))
        }
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef) and function.name in CODES:
                body = ast.unparse(function)
                if COMMAND.search(body) or any(name in body for name in commands):
                    commanding.add(function.name)
    assert commanding - set(buttons) == set(FOLLOWED_BY_HAND)
