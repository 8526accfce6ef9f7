"""The tokens of this device: random secrets of which only keyed hashes are kept, in one small file.

Rules of this file:
- A token reads `edge_ID_SECRET`. The id finds its record; the secret has 130 random bits, so a keyed hash is enough to
  keep it (a slow one protects weak passwords, which these are not).
- A secret leaves this module once, when it is made.
- Other programs may change the file: it is read again before each change. Changing it writes to disk; call it in a
  thread.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct

from appliance import camera_names, files
from appliance.errors import ApplianceError
from appliance.identity.roles import Role

log = logging.getLogger(__name__)

FILE = "tokens.json"
MOST = 1000
_MOST_BYTES, _KEY_BYTES = 1_000_000, 32
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Without i, l, o and u, which are misread."""
_ID_LENGTH, _SECRET_LENGTH = 6, 26
_FORM = re.compile(rf"edge_([{_ALPHABET}]{{{_ID_LENGTH}}})_([{_ALPHABET}]{{{_SECRET_LENGTH}}})")


class TokenError(ApplianceError):
    """A token cannot be made, changed or kept.

    Codes: token_exists, token_unknown, token_name_invalid, tokens_full, tokens_not_kept, role_unknown,
    pairing_unknown, pairing_ambiguous.
    """

    code = "token_unknown"


class Record(Struct, frozen=True):
    """What is kept of a token."""

    id: str
    name: str
    role: Role
    digest: str
    """Keyed hash of the whole token, hex."""
    made_at: int
    """Seconds since 1970."""


class _File(Struct, frozen=True):
    schema: int
    key: str
    """Key of the hashes and of the sessions' signatures, hex."""
    tokens: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """A new token, in clear for the only time."""

    record: Record
    token: str


class TokenStore:
    """The tokens in `path`; None: in memory, until the service ends."""

    def __init__(self, path: Path | None, wall_clock: Callable[[], float] = time.time) -> None:
        self._path, self._wall_clock = path, wall_clock
        self._changing = threading.Lock()
        self._file = _File(1, secrets.token_hex(_KEY_BYTES))
        self._by_id: dict[str, Record] = {}
        self._seen: tuple[int, int, int] | None = None
        self.problem: str | None = None
        """Why the file cannot be used, for a person."""
        self.changed: Callable[[], None] = lambda: None
        """Called when tokens have changed, in the thread that changed them."""
        self.refresh()

    @property
    def records(self) -> tuple[Record, ...]:
        return self._file.tokens

    @property
    def key(self) -> bytes:
        return bytes.fromhex(self._file.key)

    def has(self, role: Role) -> bool:
        return any(record.role is role for record in self.records)

    def get(self, token_id: str) -> Record | None:
        return self._by_id.get(token_id)

    def named(self, name: str) -> Record | None:
        return next((record for record in self.records if record.name == name), None)

    def of_camera(self, name: str) -> bool:
        """Whether a camera of this name has a token, so that the name is its own."""
        record = self.named(name)
        return record is not None and record.role is Role.CAMERA

    def match(self, token: str) -> Record | None:
        """The record of a token, compared in constant time; None: it is none of this device."""
        form = _FORM.fullmatch(token)
        record = self._by_id.get(form[1] if form is not None else _own_id(token))
        same = hmac.compare_digest(self.digest(token), record.digest if record else "0" * 64)
        return record if same else None

    def digest(self, text: str) -> str:
        """The keyed hash of a text."""
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self.key, digest_size=32).hexdigest()

    def add(self, name: str, role: Role, keep: Callable[[str], None] = lambda token: None) -> Made:
        """Make a token. A camera's is for the camera of this name. Raises TokenError.

        `keep` gets the token before it counts. If that raises, there is none: nobody would know the secret.
        """
        with self._changing:
            name = self._checked(name)
            made = self._make(name, role)
            keep(made.token)
            self._write((*self.records, made.record))
            return made

    def adopt(self, name: str, role: Role, token: str) -> Record:
        """Keep a token that the other side has made; it replaces one of the same name and role. Raises TokenError."""
        with self._changing:
            self.refresh()
            former = self.named(name)
            if former is not None and former.role is not role:
                raise TokenError(
                    f"'{name}' has a token with the role {former.role.value} already; use another name", "token_exists"
                )
            others = tuple(record for record in self.records if record.name != name)
            if len(others) >= MOST:
                raise _full()
            record = Record(_own_id(token), name, role, self.digest(token), int(self._wall_clock()))
            self._write((*others, record))
            return record

    def revoke(self, name: str) -> Record:
        """Remove a token. Raises TokenError."""
        with self._changing:
            record = self._find(name)
            self._write(tuple(one for one in self.records if one is not record))
            return record

    def rotate(self, name: str) -> Made:
        """Replace a token's secret; the former one is void. Raises TokenError."""
        with self._changing:
            record = self._find(name)
            made = self._make(record.name, record.role)
            self._write(tuple(made.record if one is record else one for one in self.records))
            return made

    def refresh(self) -> bool:
        """Read the file if it has changed; returns whether it had."""
        if self._path is None:
            return False
        try:
            status = self._path.stat()
            seen = status.st_mtime_ns, status.st_ino, status.st_size
            if seen == self._seen:
                return False
            content = msgspec.json.decode(files.read_plain(self._path, _MOST_BYTES), type=_File)
            if len(bytes.fromhex(content.key)) != _KEY_BYTES:
                raise ValueError(f"its key must have {_KEY_BYTES} bytes")
            self._take(content)
            self._seen, self.problem = seen, None
        except (FileNotFoundError, NotADirectoryError):
            gone, self._seen, self.problem = self._seen is not None, None, None
            if gone:
                self._take(_File(1, secrets.token_hex(_KEY_BYTES)))
            return gone
        except (OSError, ValueError) as error:
            self._report(f"cannot read {self._path}: {getattr(error, 'strerror', None) or error}")
            return False
        return True

    def _checked(self, given: str) -> str:
        """The name of a new token in its normal form. Raises TokenError."""
        self.refresh()
        name = camera_names.normal(given)
        if name is None:
            raise TokenError(f"{given[:100]!r} is not a valid name: {camera_names.RULE}", "token_name_invalid")
        if self.named(name) is not None:
            raise TokenError(
                f"'{name}' has a token already. To replace its secret: appliance token rotate '{name}'", "token_exists"
            )
        if len(self.records) >= MOST:
            raise _full()
        return name

    def _find(self, name: str) -> Record:
        self.refresh()
        record = self.named(camera_names.normal(name) or name) or self.get(name)
        if record is None:
            raise TokenError(f"no token is named '{name}'. To see all: appliance token list", "token_unknown")
        return record

    def _make(self, name: str, role: Role) -> Made:
        token_id = next(new for new in iter(lambda: _random(_ID_LENGTH), None) if new not in self._by_id)
        token = f"edge_{token_id}_{_random(_SECRET_LENGTH)}"
        return Made(Record(token_id, name, role, self.digest(token), int(self._wall_clock())), token)

    def _write(self, tokens: tuple[Record, ...]) -> None:
        if self.problem is not None:
            raise TokenError(f"{self.problem}. Repair or remove that file first", "tokens_not_kept")
        new = msgspec.structs.replace(self._file, tokens=tokens)
        if self._path is not None:
            try:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                files.write(self._path, msgspec.json.encode(new) + b"\n", 0o600)
                _give_to_owner(self._path)
                status = self._path.stat()
            except OSError as error:
                raise TokenError(f"cannot write {self._path}: {error.strerror}", "tokens_not_kept") from None
            self._seen = status.st_mtime_ns, status.st_ino, status.st_size
        self._take(new)
        self.changed()

    def _take(self, content: _File) -> None:
        self._file = content
        self._by_id = {record.id: record for record in content.tokens}

    def _report(self, problem: str) -> None:
        if problem != self.problem:
            log.error("tokens: %s. Nobody can sign in with a token until it is repaired or removed", problem)
        self.problem = problem
        self._take(_File(1, self._file.key))


def role_of(word: str) -> Role:
    """The role with this name. Raises TokenError (role_unknown)."""
    try:
        return Role(word)
    except ValueError:
        roles = ", ".join(role.value for role in Role)
        raise TokenError(f"'{word[:40]}' is not a role. Roles: {roles}", "role_unknown") from None


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _own_id(token: str) -> str:
    """The id of a token that the other side has made."""
    return "p" + hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def _full() -> TokenError:
    return TokenError(f"there are {MOST} tokens already; revoke one first: appliance token list", "tokens_full")


def _give_to_owner(path: Path) -> None:
    """A file that root has made belongs to the folder's owner, the service."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
