"""Steps that are done once: after a power cut, a long command continues with the first one that is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from appliance import files
from appliance.errors import ApplianceError

FILE = "tune.json"
_MOST_BYTES = 1_000_000

T = TypeVar("T")


class _Content(msgspec.Struct):
    subject: str
    finished: bool = False
    done: dict[str, Any] = {}


class Journal:
    """The results of the steps of one command, in a file. `subject`: what the results are valid for."""

    def __init__(self, path: Path, subject: str) -> None:
        self._path = path
        found = _read(path)
        is_ours = found is not None and found.subject == subject
        self.finished = found is not None and is_ours and found.finished
        """Whether the last run completed; `start_again` then makes room for another."""
        self._content = found if found is not None and is_ours else _Content(subject)

    def start_again(self) -> None:
        """Forget all results. The file changes with the next step."""
        self._content, self.finished = _Content(self._content.subject), False

    def once(self, step: str, act: Callable[[], T], kind: type[T]) -> T:
        """The result of this step: `act` runs unless it is known. Raises ApplianceError not_tuned, and act's."""
        if step in self._content.done:
            return msgspec.convert(self._content.done[step], kind)
        result = act()
        self._content.done[step] = msgspec.to_builtins(result)
        self._write()
        return result

    def result(self, step: str) -> str | None:
        """The text that a step resulted in; None: it was not done."""
        found = self._content.done.get(step)
        return found if isinstance(found, str) else None

    def finish(self) -> None:
        """Record that all steps are done. Raises ApplianceError not_tuned."""
        self._content.finished = self.finished = True
        self._write()

    def _write(self) -> None:
        try:
            files.write(self._path, msgspec.json.format(msgspec.json.encode(self._content), indent=1) + b"\n", 0o644)
        except OSError as error:
            raise ApplianceError(
                f"cannot write {self._path} ({error.strerror}). Use sudo, or make the folder writable", "not_tuned"
            ) from None


def _read(path: Path) -> _Content | None:
    """The content of the file; None: there is none, or it is damaged, so that everything is measured again."""
    try:
        return msgspec.json.decode(files.read_plain(path, _MOST_BYTES), type=_Content)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return None
