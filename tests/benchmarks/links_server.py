"""`python -m tests.benchmarks.links_server SECTION.KEY=VALUE…`: the service, with a way to queue events for MQTT.

SIGUSR1 queues 10,000 events, as if 5000 objects had come and gone while the broker was away. SIGUSR2 prints how many
wait, and whether the broker is connected.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from appliance.device import logs
from appliance.events.object_event import EventKind, ObjectEvent
from appliance.service import loading, supervise
from appliance.service.run import Started
from appliance.settings import loader
from appliance.settings.loader import Chosen
from appliance.settings.schema import Settings
from appliance.values import Box, Size

EVENTS = 10_000


def event(number: int, kind: EventKind) -> ObjectEvent:
    return ObjectEvent(
        kind, f"bench{number}", number, "bench", "gate", "person", 0, 0.8, 0.9, Box(1, 2, 3, 4), Size(1280, 720),
        ("yard",), ("yard",), (), (("yard", 1.5),), 1_700_000_000.0, 1_700_000_002.0, 2.0,
    )  # fmt: skip


def main(flags: list[str]) -> None:
    settings = loader.load(None, {}, {"profile": "realtime"} | dict(flag.split("=", 1) for flag in flags))
    logs.set_up("error")

    def started(_: Settings, service: Started) -> None:
        link = service.parts.links.mqtt
        assert link is not None

        def queue() -> None:
            for number in range(EVENTS // 2):
                link.receive(event(number, "start"))
                link.receive(event(number, "end"))
            print("queued", link.waiting, flush=True)

        def waiting() -> None:
            print("waiting", link.waiting, link.problem is None, flush=True)

        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, queue)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, waiting)
        print(f"http://127.0.0.1:{service.port}", flush=True)

    asyncio.run(
        supervise.serve(
            lambda: Chosen(settings), started=started, ready=lambda _: print("ready", flush=True),
            load=loading.load_to_serve,
        )
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
