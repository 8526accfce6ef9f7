"""What a setting accepts, in words, derived from its type and bounds in the schema.

An error shows this text instead of the validation library's own, which names Python types.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

from msgspec import Meta

FORM = "form"
"""Key in `Meta.extra`: the form of a string with a pattern, in words."""


def requirement(hint: Any) -> str:
    """The rest of the sentence "server.port ...": `must be a whole number from 0 to 65535`."""
    bare, meta = _split(hint)
    if bare is str and meta.min_length and FORM not in (meta.extra or {}):
        return "must be a string that is not empty"
    return f"must be {_expected(bare, meta)}"


def _split(hint: Any) -> tuple[Any, Meta]:
    if get_origin(hint) is Annotated:
        bare, meta = get_args(hint)[:2]
        return bare, meta
    return hint, Meta()


def _expected(bare: Any, meta: Meta) -> str:
    if get_origin(bare) is Literal:
        return _choice([str(value) or "empty" for value in get_args(bare)])
    if get_origin(bare) is dict:
        return f"a table of at most {meta.max_length} sections"
    if get_origin(bare) is tuple:
        return _list(get_args(bare)[0], meta)
    if bare is bool:
        return "true or false"
    if bare is int:
        return f"a whole number{_range(meta)}"
    if bare is float:
        return f"a number{_range(meta)}"
    return str((meta.extra or {}).get(FORM, "a string"))


def _list(item: Any, meta: Meta) -> str:
    item_bare, item_meta = _split(item)
    form = (item_meta.extra or {}).get(FORM, "a string" if item_bare is str else "a value")
    length = ""
    if meta.max_length is not None:
        least = f"{meta.min_length} to" if meta.min_length else "at most"
        length = f", {least} {meta.max_length} of them"
    return f"a list in which each item is {form}{length}"


def _choice(values: Sequence[str]) -> str:
    return f"{', '.join(values[:-1])} or {values[-1]}" if len(values) > 1 else values[0]


def _range(meta: Meta) -> str:
    """The bounds of a number: ` from 0 to 65535`, ` above 0 and below 1`."""
    if meta.ge is not None and meta.le is not None:
        return f" from {meta.ge} to {meta.le}"
    lower = f"at least {meta.ge}" if meta.ge is not None else f"above {meta.gt}" if meta.gt is not None else ""
    upper = f"at most {meta.le}" if meta.le is not None else f"below {meta.lt}" if meta.lt is not None else ""
    bounds = " and ".join(part for part in (lower, upper) if part)
    return f" {bounds}" if bounds else ""
