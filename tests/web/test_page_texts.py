"""The page's catalogues are complete: every text in every language, findings included."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import appliance.health.checks
from appliance.health.catalogue import CATALOGUE
from appliance.web.page_files import PAGE

ENGLISH = json.loads((PAGE / "en.json").read_text(encoding="utf-8"))
OTHERS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in PAGE.glob("*.json") if path.stem != "en"}
# English has none: the service's own texts are English.
SERVICE_TEXTS = ("findings.", "words.")
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
