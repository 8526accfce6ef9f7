"""The reading of one sensor group: its values, and a reason for each value that is None."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

from appliance.readings import Cpu, Memory, Power, Storage, System, Thermal

Group = TypeVar("Group", Thermal, Power, Memory, Cpu, Storage, System)


@dataclass(frozen=True, slots=True)
class GroupReading(Generic[Group]):
    """The values of a group; `why`: the reason for each unknown value, by field."""

    group: Group
    why: Mapping[str, str]


def with_reasons(group: Group, default: Mapping[str, str], why: Mapping[str, str] | None = None) -> GroupReading[Group]:
    """Add a reason for each field that is None: the one from `why`, or the `default` one."""
    return GroupReading(group, {name: (why or {}).get(name) or default[name] for name in unknowns(group)})


def unknowns(group: Group) -> list[str]:
    """The fields that are None, except the time."""
    return [field.name for field in fields(group) if field.name != "at_s" and getattr(group, field.name) is None]
