"""Runs a source's blocking calls beside the event loop, on a thread that ends with the process.

The standard executors join their threads at exit: a read that hangs in a driver would keep SIGTERM waiting for ever.
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
    """One thread, one call after another."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """What the function returns or raises. Cancelled, it is not waited for."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()

        def settle(result: Result | None, error: BaseException | None) -> None:
            if done.done():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)  # type: ignore[arg-type]  # None only where the function returns it

        def call() -> None:
            result, error = None, None
            try:
                result = function(*arguments)
            except BaseException as caught:  # noqa: BLE001  # handed to whoever waits
                error = caught
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
                loop.call_soon_threadsafe(settle, result, error)

        self._calls.put(call)
        return await done

    def close(self) -> None:
        """End the thread after the call that is under way, or leave it alone if that hangs.

        It is waited for because a thread that is cut off in C++ while the interpreter ends aborts the process.
        """
        self._calls.put(None)
        self._thread.join(_ENDS_WITHIN_S)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
