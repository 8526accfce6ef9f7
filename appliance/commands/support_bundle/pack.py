"""Pack the files of a support bundle into one archive of limited size, without secrets."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Collection, Mapping

from appliance.commands.support_bundle import secrets, static_page

MOST_BYTES = 5_000_000
_MOST_BYTES_EACH = 1_500_000
"""Of a text, before compression. Of a longer one, the end is kept: the newest lines."""


def pack(files: Mapping[str, bytes], folder: str, known_secrets: Collection[str], at_s: float) -> bytes:
    """A .tar.gz with everything in one folder, and an index.html that opens without a network.

    `at_s`: the date of the files, seconds since 1970.
    """
    clean = {name: _clean(name, content, known_secrets) for name, content in files.items()}
    clean["index.html"] = static_page.build(clean, folder)
    archive = _archive(clean, folder, at_s)
    for name in ("journal.txt", "log.txt", "index.html", "history-day.json"):
        if len(archive) <= MOST_BYTES:
            break
        clean[name] = b"left out: the bundle would exceed 5 MB\n"
        archive = _archive(clean, folder, at_s)
    return archive


def _clean(name: str, content: bytes, known_secrets: Collection[str]) -> bytes:
    if name.endswith(".json"):
        try:
            return json.dumps(
                secrets.remove_in_json(json.loads(content), known_secrets), separators=(",", ":")
            ).encode()
        except (ValueError, RecursionError):
            pass  # says why it is not available
    if len(content) > _MOST_BYTES_EACH:
        content = b"(beginning left out)\n" + content[-_MOST_BYTES_EACH:]
    return secrets.remove(content.decode("utf-8", "replace"), known_secrets).encode()


def _archive(files: Mapping[str, bytes], folder: str, at_s: float) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mtime, entry.mode = len(content), int(at_s), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), 9)
