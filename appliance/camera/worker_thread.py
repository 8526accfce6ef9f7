"""Run a source's blocking calls on a daemon thread.

The standard executors join their threads at exit, so a read that hangs in a driver would block SIGTERM forever.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")

_ENDS_WITHIN_S = 2.0


class WorkerThread:
    """One thread that runs one call at a time."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run the function on the thread; return its result or raise its exception. Cancelling does not wait for it."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()

        def settle(result: Result | None, error: BaseException | None) -> None:
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)  # type: ignore[arg-type]  # None only if the function returns it

        def call() -> None:
            result, error = None, None
            try:
                result = function(*arguments)
            except BaseException as caught:  # noqa: BLE001  # raised in the awaiting task
                error = caught
            with contextlib.suppress(RuntimeError):  # the loop is closed: no task waits
                loop.call_soon_threadsafe(settle, result, error)

        self._calls.put(call)
        return await done

    def close(self) -> None:
        """Stop the thread after its current call, or abandon it if the call hangs.

        The join is necessary: a thread that runs C++ code while the interpreter shuts down aborts the process.
        """
        self._calls.put(None)
        self._thread.join(_ENDS_WITHIN_S)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
