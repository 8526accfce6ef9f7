"""What a box in safe mode says: to cameras, and to whoever stands before it."""

from __future__ import annotations

from appliance.errors import ConfigError
from appliance.values import Finding, Severity


def refusal(problem: ConfigError) -> ConfigError:
    """Why no frame is looked at, for cameras."""
    return ConfigError(f"the box is in safe mode until its settings are mended: {problem}", "safe_mode")


def findings(problem: ConfigError | None) -> tuple[Finding, ...]:
    """What to mend, if anything."""
    if problem is None:
        return ()
    return (
        Finding(
            "safe_mode", Severity.CRITICAL, f"The settings are wrong, so no frame is looked at: {problem}",
            "Mend that; the box notices by itself within seconds. `appliance config check` says whether it is good.",
        ),
    )  # fmt: skip
