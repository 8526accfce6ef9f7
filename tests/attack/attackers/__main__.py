"""`python -m tests.attack.attackers NAME URL SECONDS`: one attack, in a process of low priority.

Prints "begun", and at the end what came of it as JSON: rounds done, rounds that the service cut short, and what it must
not have done.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
from collections import Counter

from tests.attack.attackers import ATTACKS, Attack
from tests.attack.wire import Target, Vulnerable

_NICE = 10
"""An attacker outside would take none of the service's processor time; at the lowest priority of all it would get none
itself on a machine that others use as well."""

_REFUSED = (OSError, EOFError, ValueError, IndexError, asyncio.TimeoutError, asyncio.LimitOverrunError)
"""How it looks when the service closes a connection, or answers with something else than the attacker wants."""


async def carry_out(attack: Attack, url: str, seconds: float) -> Counter[str]:
    target, count = Target(url, attack.addresses), Counter[str]()

    async def attacker() -> None:
        while True:
            try:
                await attack.attacker(target)
                count["done"] += 1
            except Vulnerable as error:
                count[f"vulnerable: {error}"] += 1
                await asyncio.sleep(0.2)
            except _REFUSED as error:
                count["cut short"] += 1
                count[f"last: {type(error).__name__}"] += 1
                await asyncio.sleep(0.02)

    tasks = [asyncio.create_task(attacker()) for _ in range(attack.at_once)]
    finished, pending = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    while pending:  # wait_for() of Python 3.11 may lose a cancellation
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.5)
    for task in finished:
        task.result()  # an attacker that is itself wrong
    return count


def main(name: str, url: str, seconds: str) -> None:
    os.nice(_NICE)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    ATTACKS[name].prepare()
    print("begun", flush=True)
    print(json.dumps(asyncio.run(carry_out(ATTACKS[name], url, float(seconds)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
