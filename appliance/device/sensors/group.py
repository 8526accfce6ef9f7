"""What a group of sensors answers: its values, and for each that is None the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

from appliance.readings import Cpu, Memory, Power, Storage, System, Thermal

Group = TypeVar("Group", Thermal, Power, Memory, Cpu, Storage, System)


@dataclass(frozen=True, slots=True)
class Answer(Generic[Group]):
    """One look at a group; `why` by field."""

    group: Group
    why: Mapping[str, str]


def answer(group: Group, absent: Mapping[str, str], why: Mapping[str, str] | None = None) -> Answer[Group]:
    """A group with the reasons of what is None in it: from `why`, else the usual ones, `absent`."""
    return Answer(group, {name: (why or {}).get(name) or absent[name] for name in unknowns(group)})


def unknowns(group: Group) -> list[str]:
    """The fields that are None, but for the time."""
    return [field.name for field in fields(group) if field.name != "at_s" and getattr(group, field.name) is None]
