"""End a process in which a thread is still working: in the engine, or on a name that no server answers for."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor

_THREADS = "blocking"
_PATIENCE_S = 1.0


def end_around_the_engine(exit_code: int) -> None:
    """Exit at once if a thread is still inside the engine; otherwise return.

    OpenVINO aborts a process that is torn down while it compiles or infers ("terminate called", exit status 134), and a
    service manager takes that for a crash. Connections, files and sockets are closed by now.
    """
    if any(thread.daemon and thread.is_alive() for thread in threading.enumerate()):
        _end(exit_code)


async def run_and_end(service: Awaitable[None], exit_code: int) -> None:
    """Wait for a service that closes everything itself; then exit at once if a thread of its event loop hangs.

    A name server that does not answer keeps such a thread for 20 s or more, and asyncio waits for it: longer than
    systemd does, which would kill the process.
    """
    threads = ThreadPoolExecutor(thread_name_prefix=_THREADS)
    asyncio.get_running_loop().set_default_executor(threads)
    await service
    threads.shutdown(wait=False, cancel_futures=True)
    until_s = time.monotonic() + _PATIENCE_S
    while any(thread.name.startswith(_THREADS) for thread in threading.enumerate()):
        if time.monotonic() > until_s:
            _end(exit_code)
        await asyncio.sleep(0.02)


def _end(exit_code: int) -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
