"""`python -m tests.attack.attackers NAME URL SECONDS`: one attack, in a process with low priority.

Prints "started", and at the end the results as JSON: completed rounds, rounds that the service cut short, and
vulnerabilities.
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
"""A real attacker takes none of the service's CPU time. At the lowest priority, it would get no CPU time on a shared
machine."""

_REFUSED = (OSError, EOFError, ValueError, IndexError, asyncio.TimeoutError, asyncio.LimitOverrunError)
"""The errors in an attacker when the service closes a connection or refuses a request."""


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
        task.result()  # raises the error of a faulty attacker
    return count


def main(name: str, url: str, seconds: str) -> None:
    os.nice(_NICE)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    ATTACKS[name].prepare()
    print("started", flush=True)
    print(json.dumps(asyncio.run(carry_out(ATTACKS[name], url, float(seconds)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
