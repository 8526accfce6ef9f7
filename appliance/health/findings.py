"""Turn facts into findings.

Rules of this file:
- A check is a pure function of the facts. Its name is the finding's code.
- A finding appears when its check has fired for `after_s`, and clears when the check has been quiet for `linger_s`. A
  condition that comes and goes every second is one finding, not sixty.
- A check gives its text as a template and the values in it, so that a page can show the finding in another language:
  the code and `case` name the text, `values` fill its places.
- `evaluate` may be called at any rate: only time and facts change the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from appliance.health.facts import Facts
from appliance.health.finding import Finding, FindingValue, Severity
from appliance.health.words import fill


@dataclass(frozen=True, slots=True)
class Advice:
    """The result of a check that fires: what is wrong, and what to do."""

    severity: Severity
    what: str
    do: str
    case: str = ""
    """Which of the check's texts this is; empty for a check that has one."""
    values: Mapping[str, FindingValue] = field(default_factory=dict)
    """What the texts say about this case."""


def advise(severity: Severity, what: str, do: str, case: str = "", **values: FindingValue) -> Advice:
    """An advice with `values` filled into the `{places}` of its texts."""
    return Advice(severity, fill(what, values), fill(do, values), case, values)


Examine = Callable[[Facts], "Advice | None"]


@dataclass(frozen=True, slots=True)
class Check:
    """An entry of the catalogue: a check, and when its finding appears and clears."""

    examine: Examine
    after_s: float = 0.0
    linger_s: float = 0.0
    severities: tuple[Severity, ...] = (Severity.DEGRADED,)
    """The severities that its finding can have."""

    @property
    def code(self) -> str:
        return self.examine.__name__


@dataclass(slots=True)
class _Case:
    """A check that fires or fired within its `linger_s`."""

    advice: Advice
    since_s: float
    last_s: float


class Register:
    """Keeps track of when each finding began."""

    def __init__(self, catalogue: Sequence[Check]) -> None:
        self.catalogue = tuple(catalogue)
        self._cases: dict[str, _Case] = {}
        self._standing: frozenset[str] = frozenset()

    def evaluate(self, facts: Facts) -> tuple[Finding, ...]:
        """Return the current findings, worst first."""
        now = facts.now_s
        facts = replace(facts, standing=self._standing)
        findings = []
        for check in self.catalogue:
            case = self._follow(check, check.examine(facts), now)
            if case is not None and case.last_s - case.since_s >= check.after_s:
                advice = case.advice
                findings.append(
                    Finding(
                        check.code,
                        advice.severity,
                        advice.what,
                        advice.do,
                        case.since_s,
                        case=advice.case,
                        values=advice.values,
                    )
                )
        self._standing = frozenset(finding.code for finding in findings)
        return tuple(sorted(findings, key=lambda finding: _WORST_FIRST.index(finding.severity)))

    def _follow(self, check: Check, advice: Advice | None, now_s: float) -> _Case | None:
        case = self._cases.get(check.code)
        if advice is not None:
            if case is None:
                case = self._cases[check.code] = _Case(advice, now_s, now_s)
            case.advice, case.last_s = advice, now_s
        elif case is not None:
            appeared = case.last_s - case.since_s >= check.after_s
            if not appeared or now_s - case.last_s >= check.linger_s:
                del self._cases[check.code]
                return None
        return case


_WORST_FIRST = (Severity.CRITICAL, Severity.DEGRADED, Severity.INFO)


def status_of(findings: Iterable[Finding]) -> str:
    """Return `ok`, `degraded` or `critical`, by the worst finding."""
    severities = {finding.severity for finding in findings}
    for severity in (Severity.CRITICAL, Severity.DEGRADED):
        if severity in severities:
            return str(severity.value)
    return "ok"
