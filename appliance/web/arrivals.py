"""Which Socket.IO clients are let in, as whom, and under which camera name.

Rules of this file:
- A camera's token is for its own name only, and names the camera if `auth` does not.
- Where no token is required, one that is wrong is ignored. It counts as a guess all the same.
- The name of a camera that has a token is its own, also where no token is required of others.
- A client that asks to be paired brings a token of its own, and waits outside until an operator has approved it.
- A token that becomes void ends the connections that it has opened: `void` names them.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from appliance import camera_names
from appliance.identity.pairing import SHORTEST_TOKEN, Pairings
from appliance.identity.roles import AccessDenied, Identity, May, Role
from appliance.ports import Clock
from appliance.web.authenticator import Authenticator, text_of
from appliance.web.publisher import Publisher

TRY_AGAIN_S = 10.0
"""When a client that was refused for a reason that passes may try again."""
_PAIRING_S = 5.0
_CONTEST_S, _CONTESTS = 600.0, 3
_TAKEOVERS, _TAKEOVERS_S = 10, 20.0
"""A name changes hands at most so often in so many seconds: a camera with a bad network needs less, and each costs."""
_MOST_CONTESTED = 100


@dataclass(frozen=True, slots=True)
class Arrival:
    """A client that is let in."""

    camera: str
    named: bool
    who: Identity
    replaces: tuple[str, ...] = ()
    """Connections under the same name, which end now."""


class Arrivals:
    """Decides about each CONNECT, and remembers who each client is."""

    def __init__(self, authenticator: Authenticator, publisher: Publisher, pairings: Pairings, clock: Clock) -> None:
        self._authenticator, self._publisher, self._pairings = authenticator, publisher, pairings
        self._access, self._clock = authenticator.access, clock
        self._arrived: dict[str, Arrival] = {}
        self._contests: OrderedDict[str, deque[float]] = OrderedDict()

    def admit(self, sid: str, request: web.BaseRequest, auth: Any) -> Arrival:
        """Let a client in. Raises AccessDenied."""
        rules = self._access.rules
        if len(self._publisher) >= rules.max_connections:
            raise AccessDenied("too many connections (server.max_connections)", "too_many_connections", TRY_AGAIN_S)
        given = auth.get("name") if isinstance(auth, Mapping) else None
        name = camera_names.normal(given) if given is not None else None
        if given is not None and name is None:
            raise AccessDenied(f"invalid camera name: {camera_names.RULE}", "name_invalid")
        who = self._who(request, auth, name)
        name = who.camera if name is None else name
        _check_query(request, name)
        if name is None:
            self._check_unnamed(who)
            arrival = Arrival(default_name(sid), False, who)
        else:
            self._check_named(who, name)
            arrival = Arrival(name, True, who, self._others(name))
        self._arrived[sid] = arrival
        return arrival

    def address_of(self, request: web.BaseRequest) -> str:
        """The client's address, for the log."""
        return self._authenticator.client_of(request).address or "unknown"

    def forget(self, sid: str) -> None:
        """A client has left."""
        self._arrived.pop(sid, None)

    def may(self, sid: str, permission: May) -> bool:
        """Whether a connected client has this permission."""
        arrival = self._arrived.get(sid)
        if arrival is None or permission not in arrival.who.may:
            return False
        if permission is not May.SEND or arrival.named or not self._access.rules.require_token:
            return True
        return _is_operator(arrival.who)

    def who(self, sid: str) -> Identity | None:
        """Who a connected client is."""
        arrival = self._arrived.get(sid)
        return arrival.who if arrival is not None else None

    def void(self) -> list[str]:
        """The clients whose token is no longer valid."""
        return [sid for sid, one in self._arrived.items() if not self._authenticator.is_valid(one.who)]

    def contested(self) -> tuple[str, ...]:
        """The names that several cameras have claimed again and again in the last ten minutes."""
        since_s = self._clock() - _CONTEST_S
        return tuple(
            sorted(name for name, times in self._contests.items() if sum(at > since_s for at in times) >= _CONTESTS)
        )

    def _who(self, request: web.BaseRequest, auth: Any, name: str | None) -> Identity:
        base, token = self._authenticator.of_request(request), text_of(auth, "token")
        if not token:
            return base
        pairs = name is not None and isinstance(auth, Mapping) and auth.get("pair") is True
        if self._is_open(base, name):
            if pairs and not self._authenticator.is_issued(token):
                return base  # the token that a camera made for itself, which nobody had to approve: no guess
            return self._authenticator.of_optional_token(request, token, name or "") or base
        if pairs and name is not None:
            self._pair(request, name, token)
        return self._authenticator.of_token(request, token, name or "")

    def _is_open(self, base: Identity, name: str | None) -> bool:
        """Whether no token is required for this."""
        if self._access.rules.require_token or (name is not None and self._is_reserved(base, name)):
            return False
        return not base.may.isdisjoint({May.SEND} if name is not None else {May.SEND, May.VIEW})

    def _is_reserved(self, who: Identity, name: str) -> bool:
        """Whether this name needs the camera's own token, or an operator's.

        Programs on the device may use names with issued tokens: `who` has the operator's role then.
        """
        if self._access.rules.camera_tokens.get(name):
            return True
        return who.role is not Role.OPERATOR and self._authenticator.tokens.of_camera(name)

    def _pair(self, request: web.BaseRequest, name: str, token: str) -> None:
        """Let a camera that has no valid token wait for approval. Returns if it has one, or one that is too short.

        Without a place to wait its token is a guess only where the settings have one that it could be.
        """
        authenticator = self._authenticator
        if len(token) < SHORTEST_TOKEN or authenticator.is_issued(token):
            return
        asks = self._access.rules.pairing
        waiting = self._pairings.ask(name, token, authenticator.client_of(request).address) if asks else None
        if waiting is not None:
            if authenticator.matches(token, name):
                self._pairings.forget(waiting)
                return
            raise AccessDenied(
                f"camera '{name}' waits for approval with the code {waiting.code}. On the device's page, or with "
                f"`sudo appliance token approve '{name}'`, an operator compares the code and approves it",
                "pairing_pending",
                _PAIRING_S,
            )
        compared = authenticator.in_settings(name, SHORTEST_TOKEN)
        if compared and authenticator.of_optional_token(request, token, name) is not None:
            return
        raise _no_place(name) if asks else _no_pairing(name)

    def _check_unnamed(self, who: Identity) -> None:
        if who.may.isdisjoint({May.SEND, May.VIEW}) or (self._access.rules.require_token and who.credential is None):
            raise AccessDenied("unauthorized: give `name` and `token` in auth")

    def _check_named(self, who: Identity, name: str) -> None:
        if who.camera is not None and who.camera != name:
            raise AccessDenied(f"forbidden: this token is for the camera '{who.camera}', not for '{name}'", "forbidden")
        rules = self._access.rules
        if who.camera is None and not _is_operator(who) and (rules.require_token or self._is_reserved(who, name)):
            raise AccessDenied(f"unauthorized: wrong token for camera '{name}'")
        if May.SEND in who.may:
            return
        if who.credential is None:
            raise AccessDenied(
                f"unauthorized: camera '{name}' needs a token. On the device, run: "
                f"sudo appliance token add '{name}' --role camera"
            )
        raise AccessDenied(
            f"forbidden: the token '{who.name}' may not send frames; connect without `name`", "forbidden"
        )

    def _others(self, name: str) -> tuple[str, ...]:
        """The connections that a new one under this name ends. Raises AccessDenied if it may not."""
        policy = self._access.rules.name_taken
        others = tuple(sid for sid in self._publisher.clients_of(name) if sid in self._arrived)
        if not others or policy == "share":
            return ()
        now = self._clock()
        times = self._contests.pop(name, None) or deque(maxlen=_TAKEOVERS)
        self._contests[name] = times
        if len(self._contests) > _MOST_CONTESTED:
            self._contests.popitem(last=False)
        too_often = len(times) == _TAKEOVERS and now - times[0] < _TAKEOVERS_S
        if not too_often:
            times.append(now)
        if policy == "refuse" or too_often:
            raise AccessDenied(
                f"the name '{name}' is in use by another connection; give this camera another name, or end that one",
                "name_taken",
                TRY_AGAIN_S,
            )
        return others


def _check_query(request: web.BaseRequest, name: str | None) -> None:
    """A front places a client by the name in the query, so it must be the one that the client connects under."""
    asked = request.query.get("camera")
    if asked is None or name is None or camera_names.normal(asked) == name:
        return
    raise AccessDenied(
        f"the URL says ?camera={asked[:64]}, but this client connects as '{name}': use one name for both",
        "name_mismatch",
    )


def _no_place(name: str) -> AccessDenied:
    return AccessDenied(
        f"camera '{name}' cannot ask for approval yet: too many cameras wait for it, in all or at this address. On the "
        "device's page, or with `sudo appliance token approve`, an operator answers those that wait",
        "pairing_full",
        TRY_AGAIN_S,
    )


def _no_pairing(name: str) -> AccessDenied:
    return AccessDenied(
        f"unauthorized: camera '{name}' has no token, and this device approves none that cameras make "
        f"(access.pairing). On the device, run: appliance token add '{name}' --role camera"
    )


def default_name(sid: str) -> str:
    """The camera name of an unnamed client. A session id may start with `_`, which is reserved for the service."""
    return sid if camera_names.normal(sid) == sid else f"c{sid}"


def _is_operator(who: Identity) -> bool:
    return who.role is Role.OPERATOR and who.credential is not None
