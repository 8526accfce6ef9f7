"""`python -m tests.fake_service serve [hold] [SECTION.KEY=VALUE…]`: run the service with a fake engine.

SIGUSR1 makes inferences hang, as `hold` does from the start; SIGUSR2 lets them continue.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from appliance.device import logs
from appliance.service import supervise
from appliance.settings import loader
from appliance.settings.loader import Chosen
from tests.fakes import CANARY_ROWS, FakeEngine, fake_network


def main(arguments: list[str]) -> None:
    engine = FakeEngine(CANARY_ROWS)
    if "hold" in arguments:
        engine.hold()
    signal.signal(signal.SIGUSR1, lambda *_: engine.hold())
    signal.signal(signal.SIGUSR2, lambda *_: engine.release())
    flags = dict(item.split("=", 1) for item in arguments if "=" in item)
    settings = loader.load(None, {}, {"profile": "realtime", "flow.decoder": "thread"} | flags)
    logs.set_up("info")
    asyncio.run(
        supervise.serve(
            lambda: Chosen(settings),
            started=lambda *_: None,
            ready=lambda _: print("ready", flush=True),
            load=lambda _: fake_network(engine),
        )
    )


if __name__ == "__main__":
    main(sys.argv[2:])
