"""End a process in which the engine is still working."""

from __future__ import annotations

import logging
import os
import sys
import threading


def end_around_the_engine(exit_code: int) -> None:
    """Exit at once if a thread is still inside the engine; otherwise return.

    OpenVINO aborts a process that is torn down while it compiles or infers ("terminate called", exit status 134), and a
    service manager takes that for a crash. Connections, files and sockets are closed by now.
    """
    if not any(thread.daemon and thread.is_alive() for thread in threading.enumerate()):
        return
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
