"""Read a repository from a folder or over HTTPS, within bounds: length, time, speed and redirects.

Whatever these return is verified afterwards. The bounds keep a broken or hostile server from filling the disk or from
keeping the updater busy for ever.
"""

from __future__ import annotations

import http.client
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError
from tuf.ngclient import FetcherInterface

from appliance import files
from appliance.update.proxy import Proxy

_CHUNK_BYTES = 1 << 16
_STALL_S = 20.0
"""For a server to send its next bytes."""
_GRACE_S = 60.0
_LEAST_BYTES_PER_S = 2000
"""Slower than this after the grace is a trickle: 60 MB would take eight hours."""
_MOST_REDIRECTS = 3
_LONGEST_S = 6 * 3600.0


class Fetcher(FetcherInterface):
    """Read `file:` and `https:` addresses. `scratch`: the folder of temporary files; never /tmp, which may be memory.

    `plain_http`: also allow HTTP, which tests need; signatures do not depend on HTTPS.
    """

    def __init__(
        self, scratch: Path, *, proxy: Proxy | None = None, plain_http: bool = False, grace_s: float = _GRACE_S
    ) -> None:
        self._scratch, self._proxy, self._grace_s = scratch, proxy, grace_s
        self._schemes = ("https", "http") if plain_http else ("https",)

    def _fetch(self, url: str) -> Iterator[bytes]:
        parts = urlsplit(url)
        return self._from_folder(Path(unquote(parts.path))) if parts.scheme == "file" else self._from_server(url)

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """Like the inherited one, with the temporary file in the scratch folder."""
        with tempfile.TemporaryFile(dir=self._scratch) as file:
            received = 0
            for chunk in self.fetch(url):
                received += len(chunk)
                if received > max_length:
                    raise DownloadLengthMismatchError(f"{url} is longer than its signed {max_length} bytes")
                file.write(chunk)
            file.seek(0)
            yield file

    def _from_folder(self, path: Path) -> Iterator[bytes]:
        try:
            with files.open_plain(path) as file:
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk
        except FileNotFoundError:
            raise DownloadHTTPError(f"{path} does not exist", 404) from None
        except OSError as error:
            raise DownloadError(f"cannot read {path}: {error.strerror}") from None

    def _from_server(self, url: str) -> Iterator[bytes]:
        for _ in range(_MOST_REDIRECTS + 1):
            response, close = self._ask(url)
            try:
                if response.status in (301, 302, 303, 307, 308):
                    url = urljoin(url, response.headers.get("Location", ""))
                    continue
                if response.status != 200:
                    raise DownloadHTTPError(f"{url} answered {response.status}", response.status)
                yield from self._body(url, response)
                return
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise DownloadError(f"{url}: {str(error) or type(error).__name__}") from None
            finally:
                close()
        raise DownloadError(f"{url}: more than {_MOST_REDIRECTS} redirects")

    def _ask(self, url: str) -> tuple[http.client.HTTPResponse, _Close]:
        """Send the request; raises DownloadError."""
        parts = urlsplit(url)
        if parts.scheme not in self._schemes or not parts.hostname:
            raise DownloadError(f"{url}: only {', '.join(self._schemes)} is allowed")
        proxy = self._proxy if self._proxy and self._proxy.serves(parts.hostname) else None
        try:
            connection = _connection(parts, proxy)
        except (ValueError, http.client.HTTPException) as error:
            raise DownloadError(f"{url}: {error}") from None
        # A server that sends its headers byte by byte would keep every timeout from elapsing.
        close = _Close(connection, self._grace_s)
        try:
            connection.request("GET", parts.path + (f"?{parts.query}" if parts.query else ""))
            response = connection.getresponse()
            close.headers_done(response)
            if close.late:
                raise TimeoutError
        except (OSError, http.client.HTTPException, ValueError) as error:
            close()
            reason = "no complete answer in time" if close.late else str(error) or type(error).__name__
            through = f" through the proxy {proxy}" if proxy else ""
            raise DownloadError(f"{parts.hostname}{through}: {reason}") from None
        return response, close

    def _body(self, url: str, response: http.client.HTTPResponse) -> Iterator[bytes]:
        started_s, received = time.monotonic(), 0
        while chunk := response.read1(_CHUNK_BYTES):
            received += len(chunk)
            yield chunk
            taken_s = time.monotonic() - started_s
            if taken_s > _LONGEST_S or (
                taken_s > self._grace_s and received < _LEAST_BYTES_PER_S * (taken_s - self._grace_s)
            ):
                raise DownloadError(f"{url}: too slow, {received} bytes in {taken_s:.0f} s")
        if response.length:
            raise DownloadError(f"{url}: ended {response.length} bytes early")


def _connection(parts: SplitResult, proxy: Proxy | None) -> http.client.HTTPConnection:
    """A connection that is not open yet. Raises ValueError or HTTPException for an invalid port."""
    assert parts.hostname is not None  # the caller has checked it
    host, port = (parts.hostname, parts.port) if proxy is None else (proxy.host, proxy.port)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, port, timeout=_STALL_S, context=context)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_STALL_S)
    if proxy is not None:
        usual = http.client.HTTPS_PORT if parts.scheme == "https" else http.client.HTTP_PORT
        connection.set_tunnel(parts.hostname, parts.port or usual, dict(proxy.headers))
    return connection


class _Close:
    """Closes a connection at the end, or when its headers take too long."""

    def __init__(self, connection: http.client.HTTPConnection, within_s: float) -> None:
        self._connection, self.late = connection, False
        self._response: http.client.HTTPResponse | None = None
        self._timer = threading.Timer(within_s, self._give_up)
        self._timer.daemon = True
        self._timer.start()

    def headers_done(self, response: http.client.HTTPResponse) -> None:
        self._timer.cancel()
        self._response = response

    def _give_up(self) -> None:
        self.late = True
        if (connected := self._connection.sock) is not None:
            connected.shutdown(2)

    def __call__(self) -> None:
        self._timer.cancel()
        if self._response is not None:
            self._response.close()
        self._connection.close()
