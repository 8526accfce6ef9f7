"""The processor time that answering a request takes of the event loop."""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from time import thread_time
from typing import Any, TypeVar

T = TypeVar("T")


@types.coroutine
def timed(work: Awaitable[T], took: Callable[[float], object]) -> Generator[Any, Any, T]:
    """Await `work`, and report the seconds of each of its steps: not while it waits, and not those of other tasks."""
    steps: Any = work.__await__()
    step: Callable[[], Any] = partial(steps.send, None)
    while True:
        started_s = thread_time()
        try:
            awaited = step()
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            took(thread_time() - started_s)
        try:
            step = partial(steps.send, (yield awaited))
        except GeneratorExit:
            steps.close()
            raise
        except BaseException as error:  # noqa: BLE001  # for the work to handle
            step = partial(steps.throw, error)
