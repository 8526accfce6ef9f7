"""From facts to findings: what appears when, how long it stays, and how bad that is.

Rules of this file:
- A check is a pure function over the facts; its name is the finding's code.
- A finding appears when its check has spoken for `after_s`, and goes when it has been quiet for `linger_s`: what comes
  and goes by the second is one finding, not sixty.
- It may be looked at any number of times; only time and facts change what stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from appliance.health.facts import Facts
from appliance.values import Finding, Severity


@dataclass(frozen=True, slots=True)
class Advice:
    """What a check says: one sentence of what it is, one of what to do."""

    severity: Severity
    what: str
    do: str


Examine = Callable[[Facts], "Advice | None"]


@dataclass(frozen=True, slots=True)
class Check:
    """An entry of the catalogue."""

    examine: Examine
    after_s: float = 0.0
    linger_s: float = 0.0

    @property
    def code(self) -> str:
        return self.examine.__name__


@dataclass(slots=True)
class _Case:
    """A check that speaks, or did a moment ago."""

    advice: Advice
    since_s: float
    heard_s: float


class Register:
    """Remembers since when each finding stands."""

    def __init__(self, catalogue: Sequence[Check]) -> None:
        self.catalogue = tuple(catalogue)
        self._cases: dict[str, _Case] = {}
        self._standing: frozenset[str] = frozenset()

    def look(self, facts: Facts) -> tuple[Finding, ...]:
        """All that stands now, worst first."""
        now = facts.now_s
        facts = replace(facts, standing=self._standing)
        found = []
        for check in self.catalogue:
            case = self._follow(check, check.examine(facts), now)
            if case is not None and case.heard_s - case.since_s >= check.after_s:
                advice = case.advice
                found.append(Finding(check.code, advice.severity, advice.what, advice.do, case.since_s))
        self._standing = frozenset(finding.code for finding in found)
        return tuple(sorted(found, key=lambda finding: _WORST_FIRST.index(finding.severity)))

    def _follow(self, check: Check, advice: Advice | None, now_s: float) -> _Case | None:
        case = self._cases.get(check.code)
        if advice is not None:
            if case is None:
                case = self._cases[check.code] = _Case(advice, now_s, now_s)
            case.advice, case.heard_s = advice, now_s
        elif case is not None:
            appeared = case.heard_s - case.since_s >= check.after_s
            if not appeared or now_s - case.heard_s >= check.linger_s:
                del self._cases[check.code]
                return None
        return case


_WORST_FIRST = (Severity.CRITICAL, Severity.DEGRADED, Severity.INFO)


def status_of(findings: Iterable[Finding]) -> str:
    """ok, degraded or critical: the worst finding."""
    severities = {finding.severity for finding in findings}
    for severity in (Severity.CRITICAL, Severity.DEGRADED):
        if severity in severities:
            return str(severity.value)
    return "ok"
