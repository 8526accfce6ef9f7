"""An HTTP server for tests of what fetches from one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

Answering = Callable[..., BaseHTTPRequestHandler]


class QuietHandler(BaseHTTPRequestHandler):
    """Writes no line for each request."""

    def log_message(self, format: str, *args: object) -> None: ...


class LocalServer(ThreadingHTTPServer):
    """Listens on a free port of this machine."""

    def __init__(self, handler: Answering) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Answer on a thread until the block ends."""
        thread = Thread(target=self.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


@contextmanager
def serving(handler: Answering) -> Iterator[LocalServer]:
    """Run a server until the block ends."""
    server = LocalServer(handler)
    with server.running():
        yield server
