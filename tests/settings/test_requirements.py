"""The accepted values of a setting, in words."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from appliance.settings.requirements import FORM, requirement

Host = Annotated[str, Meta(pattern="^[a-z]+$", extra={FORM: "a host name"})]


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (bool, "must be true or false"),
        (str, "must be a string"),
        (Annotated[str, Meta(min_length=1)], "must be a string that is not empty"),
        (Host, "must be a host name"),
        (Annotated[int, Meta(ge=0, le=65535)], "must be a whole number from 0 to 65535"),
        (Annotated[float, Meta(gt=0, lt=1)], "must be a number above 0 and below 1"),
        (Annotated[float, Meta(gt=0, le=100)], "must be a number above 0 and at most 100"),
        (Annotated[float, Meta(ge=0)], "must be a number at least 0"),
        (Literal["", "f16", "f32"], "must be empty, f16 or f32"),
        (tuple[str, ...], "must be a list in which each item is a string"),
        (Annotated[tuple[Host, ...], Meta(max_length=9)],
         "must be a list in which each item is a host name, at most 9 of them"),
    ],
)  # fmt: skip
def test_a_type_with_bounds_becomes_a_sentence(hint: Any, text: str) -> None:
    assert requirement(hint) == text
