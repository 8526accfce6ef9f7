"""Sample the device's state once a second, and save the history once a minute."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import anyio

from appliance.health import history_file
from appliance.health.facts import HistoryStatus
from appliance.health.history import History
from appliance.health.history_file import LoadedHistory
from appliance.health.recorder import Recorder, Sample
from appliance.ports import Clock

log = logging.getLogger(__name__)

_SAVE_S = 60.0
_GOODBYE_S = 2.0


class Watch:
    """Samples the device and saves the history to the file that `loaded` came from."""

    def __init__(self, loaded: LoadedHistory, recorder: Recorder, *, clock: Clock, period_s: float = 1.0) -> None:
        self._loaded, self._recorder, self._period_s = loaded, recorder, period_s
        self._clock, self._begun_s = clock, clock()
        self._problem = loaded.problem

    @property
    def history(self) -> History:
        return self._recorder.history

    @property
    def history_status(self) -> HistoryStatus:
        """Whether the history is saved to disk."""
        loaded = self._loaded
        return HistoryStatus(self._problem, loaded.taken, loaded.set_aside, self._clock() - self._begun_s)

    async def run(self, sample: Callable[[], Sample]) -> None:
        """Run until cancelled; saves the remaining rows before it returns."""
        disk = ThreadPoolExecutor(1, thread_name_prefix="state")
        try:
            async with anyio.create_task_group() as group:  # sampling continues while a slow disk writes
                group.start_soon(self._save_regularly, disk, name="history")
                while True:
                    self._recorder.note(sample())
                    await asyncio.sleep(self._period_s)
        finally:
            with anyio.move_on_after(_GOODBYE_S, shield=True):
                await self.save(disk)
            disk.shutdown(wait=False)

    async def _save_regularly(self, disk: ThreadPoolExecutor) -> None:
        while True:
            await asyncio.sleep(_SAVE_S)
            await self.save(disk)

    async def save(self, disk: ThreadPoolExecutor) -> None:
        """Write the new rows. A failed write is reported as a finding and does not raise."""
        path = self._loaded.path
        if path is None:
            return
        slots, rows = self.history.take_unsaved(history_file.MOST_ROWS)
        if not len(slots):
            return
        saved = False
        try:
            await asyncio.get_running_loop().run_in_executor(disk, history_file.save, path, slots, rows)
            saved, self._problem = True, None
        except OSError as error:
            if self._problem is None:
                log.warning("cannot save the history: %s: %s", path, error.strerror)
            self._problem = f"{path}: {error.strerror}"
        finally:
            if not saved:
                self.history.give_back(slots)
