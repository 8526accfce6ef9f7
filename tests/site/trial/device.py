"""`python -m tests.site.trial.device NAME BOARD SECTION.KEY=VALUE…`: one device of the trial site.

The engine takes 50 ms for a frame, one at a time, and its model has the device's name, so that each result says where
it comes from. The sensors read the file tree BOARD.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from appliance.device import logs
from appliance.device.sensors.machine import MachineSensors
from appliance.ports import Raw, T, Tensor
from appliance.service import self_knowledge, supervise
from appliance.settings import loader
from appliance.settings.loader import Chosen
from tests.fakes import CANARY_ROWS, FakeEngine, fake_network

COST_S = 0.05


class SlowEngine(FakeEngine):
    """Each inference takes `COST_S`."""

    def __init__(self) -> None:
        super().__init__(CANARY_ROWS, slots=1)
        self._one = threading.Lock()

    def infer(self, tensor: Tensor, read: Callable[[Raw], T], *, all_cores: bool = False) -> T:
        with self._one:
            time.sleep(COST_S)
            rows = self.rows.copy()
            rows[:, :4] *= tensor.shape[1] / 640  # at any throttle level the self-test finds its signs
            return read((rows,))


def main(name: str, board: Path, arguments: list[str]) -> None:
    flags = dict(item.split("=", 1) for item in arguments)
    settings = loader.load(None, {}, {"profile": "realtime", "flow.decoder": "thread"} | flags)
    logs.set_up("info")
    setattr(self_knowledge, "MachineSensors", functools.partial(MachineSensors, root=board))  # noqa: B010
    asyncio.run(
        supervise.serve(
            lambda: Chosen(settings),
            started=lambda *_: None,
            ready=lambda _: print("ready", flush=True),
            load=lambda _: fake_network(SlowEngine(), name),
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
