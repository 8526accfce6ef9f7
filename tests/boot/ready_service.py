"""A stand-in for the service: ready, and slowed down because it is hot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.local_server import QuietHandler, serving


class _Ready(QuietHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path in ("/health", "/health/ready") else 404)
        self.end_headers()
        self.wfile.write(b'{"governor": {"cur_state": 1}}')


@contextmanager
def ready_service() -> Iterator[int]:
    """Run it; yield its port."""
    with serving(_Ready) as server:
        yield server.server_port
