"""The end of a process in which the engine is still at work."""

from __future__ import annotations

import logging
import os
import sys
import threading


def end_around_the_engine(exit_code: int) -> None:
    """End the process at once if a thread is still inside the engine; otherwise return.

    OpenVINO aborts a process that is torn down while it compiles or infers ("terminate called", exit status 134), which
    a service manager takes for a crash. Nothing of value is left to do: connections, files and sockets are closed.
    """
    if not any(thread.daemon and thread.is_alive() for thread in threading.enumerate()):
        return
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
