"""A stand-in for the service: ready, and slowed down because it is hot."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path in ("/health", "/health/ready") else 404)
        self.end_headers()
        self.wfile.write(b'{"governor": {"cur_state": 1}}')

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def ready_service() -> Iterator[int]:
    """Run it; yield its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Ready) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
