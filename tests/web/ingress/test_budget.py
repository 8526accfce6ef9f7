"""The budget of unfinished messages."""

from __future__ import annotations

from appliance.web.ingress.budget import Budget, Usage


def test_memory_is_to_be_returned_only_after_large_messages_are_gone() -> None:
    budget = Budget(64_000_000, clock=lambda: 0.0)
    usage = Usage(close=lambda why: None)
    budget.grow(usage, 1_000_000)
    budget.release(usage)
    assert not budget.leaves_memory(), "small messages leave nothing worth returning"
    budget.grow(usage, 20_000_000)
    assert not budget.leaves_memory(), "the message is still held"
    budget.release(usage)
    assert budget.leaves_memory()
