"""Which camera a picture that came by HTTP belongs to, and who may use that name.

Rules of this file:
- A request may name its camera: `X-Camera`, or `camera` in the form or the query. Otherwise all requests with one token
  are one camera, `http-` and the token's name; those without a token of their own are named after their address.
- A camera's token is for its own name only, and names the camera if the request does not.
- Nobody else uses the name of a camera that is connected, that has a token of its own, or that the settings give one.
- One address names at most MOST_NAMES cameras within FORGET_S, and what is remembered is bounded.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping

from aiohttp import web

from appliance import camera_names
from appliance.camera_names import HTTP_PREFIX
from appliance.errors import BadFrame
from appliance.identity.roles import AccessDenied, Identity, May, Role, check
from appliance.ports import Clock
from appliance.web.authenticator import Authenticator

HEADER, FIELD = "X-Camera", "camera"
MOST_NAMES = 64
FORGET_S = 60.0
_MOST_ADDRESSES = 1000
_LONGEST_BYTES = 1024
"""Longer names are invalid anyway."""


class HttpCameras:
    """Names the cameras of HTTP requests. `is_connected`: whether a Socket.IO client uses this name."""

    def __init__(self, authenticator: Authenticator, is_connected: Callable[[str], bool], clock: Clock) -> None:
        self._authenticator, self._is_connected, self._clock = authenticator, is_connected, clock
        self._named: OrderedDict[str, dict[str, float]] = OrderedDict()
        """By address: the names that it used, and when last."""

    def given(self, request: web.Request, form: Mapping[str, bytes] | None = None) -> str:
        """The name that a request gives its camera; empty: none."""
        text = (form or {}).get(FIELD, b"")[:_LONGEST_BYTES].decode("utf-8", "replace")
        return request.headers.get(HEADER, "") or text or request.query.get(FIELD, "")

    def permit(self, request: web.Request, who: Identity, key: str, given: str) -> Identity:
        """Who posts a picture, as the camera `given` or as none. Raises AccessDenied if it may not.

        `key`: from the query or the form, where DeepStack's clients send it.
        """
        who = self._keyed(request, who, key, camera_names.normal(given) or "")
        if who.camera is None or May.SEND not in who.may:
            _check(who)
        return who

    def check(self, request: web.Request, who: Identity, key: str) -> None:
        """Raise AccessDenied if neither the caller nor its key permits the use of the API."""
        _check(self._keyed(request, who, key))

    def _keyed(self, request: web.Request, who: Identity, key: str, camera: str = "") -> Identity:
        """The holder of a key, if it adds a permission or names the client; otherwise `who`. Raises AccessDenied."""
        key = key.strip()
        if not key:
            return who
        if May.DETECT in who.may:
            return self._authenticator.of_optional_token(request, key, camera) or who
        with _in_the_words_of_deepstack():
            return self._authenticator.of_token(request, key, camera)

    def name_of(self, who: Identity, given: str) -> str:
        """The name of this request's camera. Raises BadFrame if it is invalid, AccessDenied if it is another's."""
        if not given:
            return who.camera or _default(who)
        name = camera_names.normal(given)
        if name is None:
            raise BadFrame(f"invalid camera name: {camera_names.RULE}", "name_invalid")
        self._check_name(who, name)
        self._count(who.address, name)
        return name

    def _check_name(self, who: Identity, name: str) -> None:
        if who.camera == name or (who.role is Role.OPERATOR and who.credential is not None):
            return
        if who.camera is not None:
            raise AccessDenied(f"forbidden: this token is for the camera '{who.camera}', not for '{name}'", "forbidden")
        authenticator = self._authenticator
        if authenticator.access.rules.camera_tokens.get(name) or authenticator.tokens.of_camera(name):
            raise AccessDenied(f"forbidden: the camera '{name}' has a token of its own; use that one", "forbidden")
        if self._is_connected(name):
            raise AccessDenied(f"the camera '{name}' is connected; give this one another name", "name_taken")

    def _count(self, address: str, name: str) -> None:
        now_s = self._clock()
        names = self._named.pop(address, {})
        self._named[address] = names
        if name not in names and len(names) >= MOST_NAMES:
            for old in [old for old, used_s in names.items() if now_s - used_s > FORGET_S]:
                del names[old]
            if len(names) >= MOST_NAMES:
                raise BadFrame(
                    f"too many cameras from one address: at most {MOST_NAMES} names a minute", "too_many_cameras"
                )
        names[name] = now_s
        if len(self._named) > _MOST_ADDRESSES:
            self._named.popitem(last=False)


@contextlib.contextmanager
def _in_the_words_of_deepstack() -> Iterator[None]:
    """Refuse a key as DeepStack does, because its clients show these words."""
    try:
        yield
    except AccessDenied as error:
        if error.code != "unauthorized":
            raise
        raise AccessDenied("Incorrect api key") from None


def _check(who: Identity) -> None:
    with _in_the_words_of_deepstack():
        check(who, May.DETECT)


def _default(who: Identity) -> str:
    """The name of a client that gives none."""
    return HTTP_PREFIX + (camera_names.normal(who.name if who.issued else who.address) or "local")
