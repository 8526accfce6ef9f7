"""Turn what a caller presents into its identity.

Rules of this file:
- A token counts for what it is, also on this device. Without one, a program on this device is its operator, and a
  stranger may do nothing that needs a permission.
- A request that a proxy passes on is not local. Nor is one from a page of another origin: such a page may use the
  device if `server.cors_origins` names it, but never operate it.
- A session's cookie counts only for pages of the device itself: browsers also send it with requests of other pages on
  the same host.
- `server.viewer_token`, `server.api_key` and `[cameras.NAME] token` are tokens as well. Where one is set, it is asked
  of programs on this device too.
- With `access.auth = "off"` anyone may do all but operate the device.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from appliance.identity.brake import Brake
from appliance.identity.roles import AccessDenied, Identity, May, Role, of_role
from appliance.identity.sessions import LONGEST_S, Sessions
from appliance.identity.tokens import TokenStore
from appliance.web.access import Access, same
from appliance.web.clients import Client, client_of
from appliance.web.origins import may_use

log = logging.getLogger(__name__)

COOKIE = "appliance_session"
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class _Held:
    """A token in the settings."""

    name: str
    role: Role
    token: str
    camera: str | None = None


class Authenticator:
    """Identifies callers by the tokens in `tokens` and in the settings."""

    def __init__(self, access: Access, tokens: TokenStore, brake: Brake) -> None:
        self.access, self.tokens, self.brake = access, tokens, brake
        self.operator_seen = False
        """An operator has signed in with a token. Whoever acts on it clears it."""
        self.sessions = Sessions(lambda: tokens.key, self._binding_of)

    def of_request(self, request: web.BaseRequest) -> Identity:
        """Who sent a request, by its header, its cookie or its address. Raises AccessDenied."""
        client = self.client_of(request)
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self.of_token(request, token.strip())
        if COOKIE in request.cookies and _from_own_page(request):
            credential = self.sessions.read(request.cookies[COOKIE])
            who = self._holder(credential, client.address) if credential is not None else None
            if who is not None:
                return replace(who, session=request.cookies[COOKIE])
        return self.tokenless(request)

    def keep_session(self, request: web.BaseRequest, response: web.StreamResponse, session: str) -> None:
        """Let the browser keep a session."""
        response.set_cookie(
            COOKIE,
            session,
            max_age=LONGEST_S,
            httponly=True,
            samesite="Strict",
            secure=self.client_of(request).encrypted,
        )

    def renew_session(self, request: web.BaseRequest, response: web.StreamResponse, who: Identity) -> None:
        """Prolong the session by which this request came, so that a display on a wall does not lose it.

        Operators sign in again after LONGEST_S: whoever has stolen their session must not keep it.
        """
        session = request.cookies.get(COOKIE, "")
        if not session or response.prepared or who.role is Role.OPERATOR or not _from_own_page(request):
            return
        renewed = self.sessions.renewed(session) if self.sessions.read(session) == who.credential else None
        if renewed is not None:
            self.keep_session(request, response, renewed)
            response.headers["Cache-Control"] = "no-store"

    def of_token(self, request: web.BaseRequest, token: str, camera: str = "") -> Identity:
        """Who presents this token, as a camera of this name or without a name.

        Raises AccessDenied if it is not valid, or if this address has tried too many that are not. One that the device
        has issued is too long to be guessed and is never held up, or guesses would lock out its holder.
        """
        address = self.client_of(request).address
        credential = self._match(token, camera)
        issued = self.tokens.get(credential or "") is not None
        if not issued and (credential is None or not self.brake.knows(address, credential)):
            wait_s = self.brake.wait_s(address, camera)
            if wait_s > 0:
                self.brake.held_up(address, camera)
                raise AccessDenied(
                    "too many wrong tokens from this address or for this name; check the token, and try again in "
                    f"{max(1, wait_s):.0f} s. On the device, `sudo appliance token rotate NAME` makes a new one",
                    "too_many_attempts",
                    max(1.0, wait_s),
                )
        who = self._holder(credential, address) if credential is not None else None
        if who is None or credential is None:
            self.brake.failed(address, camera)
            log.warning(
                "wrong token: address=%s camera=%s", address or "this device", camera or "-",
                extra={"kind": "wrong_token", "code": "unauthorized", "address": address, "camera": camera},
            )  # fmt: skip
            for_camera = f" for camera '{camera}'" if camera else ""
            raise AccessDenied(f"unauthorized: wrong token{for_camera}")
        self.brake.worked(address, credential)
        if who.role is Role.OPERATOR or (camera and who.camera == camera):
            self.brake.forgive(address, camera)
        self.operator_seen |= who.role is Role.OPERATOR
        if issued:
            return who
        # A token of the settings adds to what the caller may do without it: it did so before there were roles.
        base = self.tokenless(request)
        return replace(who, may=who.may | base.may)

    def tokenless(self, request: web.BaseRequest) -> Identity:
        """Who sent a request, by its address alone."""
        client, rules = self.client_of(request), self.access.rules
        trusted = client.local and rules.trust_loopback
        if trusted and _same_origin(request):
            who = of_role("loopback", Role.OPERATOR, client.address)
        elif trusted or not rules.auth:
            who = Identity("anyone", None, client.address, frozenset(May) - {May.OPERATE})
        else:
            return Identity("anyone", None, client.address)
        asked = {May.VIEW: rules.viewer_token, May.DETECT: rules.api_key}
        return replace(who, may=who.may - {permission for permission, token in asked.items() if token})

    def of_optional_token(self, request: web.BaseRequest, token: str, camera: str = "") -> Identity | None:
        """Who presents this token where none is required; None: it is ignored.

        A wrong one is a guess nevertheless: what it would permit shows whether it was right.
        """
        address, digest = self.client_of(request).address, self.tokens.digest(token)
        if self.brake.ignores(address, camera, digest) and self._match(token, camera) is None:
            return None
        try:
            return self.of_token(request, token, camera)
        except AccessDenied as error:
            if error.code == "unauthorized":
                self.brake.ignored(address, camera, digest)
            return None

    def is_issued(self, token: str) -> bool:
        """Whether this is a token that this device has made or approved: too long to be guessed."""
        return self.tokens.match(token) is not None

    def matches(self, token: str, camera: str) -> bool:
        """Whether a token is valid, for a camera that asks to be paired: pairing.py limits how many may ask."""
        return self._match(token, camera) is not None

    def in_settings(self, camera: str, least: int) -> bool:
        """Whether the settings have a token of at least so many characters that a camera of this name could present."""
        return any(len(one.token) >= least and one.camera in (None, camera) for one in self._in_settings().values())

    def is_valid(self, who: Identity) -> bool:
        """Whether a connected client may stay: its token was not revoked, and its session has not ended.

        One that connected with a token of the settings stays after a reload, as documented.
        """
        if who.session and self.sessions.read(who.session) is None:
            return who.credential is not None and not who.issued and self._binding_of(who.credential) is None
        return who.credential is None or not who.issued or self.tokens.get(who.credential) is not None

    def needs_setup(self, request: web.BaseRequest) -> bool:
        """Whether this client has to wait until an operator has a token."""
        return self.access.rules.auth and not self.client_of(request).local and not self.tokens.has(Role.OPERATOR)

    def client_of(self, request: web.BaseRequest) -> Client:
        return client_of(request, self.access.rules.proxies)

    def _match(self, token: str, camera: str) -> str | None:
        """The credential that this token is; None: it is wrong."""
        record = self.tokens.match(token)
        found = record.id if record is not None else None
        for credential, held in self._in_settings().items():
            if held.camera in (None, camera) and same(token, held.token):
                found = credential
        return found

    def _holder(self, credential: str, address: str) -> Identity | None:
        """Whose credential this is; None: it is void."""
        record = self.tokens.get(credential)
        if record is not None:
            return replace(of_role(record.name, record.role, address, record.id), issued=True)
        held = self._in_settings().get(credential)
        return of_role(held.name, held.role, address, credential) if held is not None else None

    def _binding_of(self, credential: str) -> str | None:
        record = self.tokens.get(credential)
        if record is not None:
            return record.digest
        held = self._in_settings().get(credential)
        return self.tokens.digest(held.token) if held is not None else None

    def _in_settings(self) -> dict[str, _Held]:
        """The tokens in the settings by their credential, which changes with the token."""
        rules = self.access.rules
        held = [
            _Held("server.viewer_token", Role.VIEWER, rules.viewer_token),
            _Held("server.api_key", Role.INTEGRATION, rules.api_key),
            *(_Held(name, Role.CAMERA, token, name) for name, token in rules.camera_tokens.items()),
        ]
        return {f"s{self.tokens.digest(f'{one.name}~{one.token}')[:16]}": one for one in held if one.token}


def _same_origin(request: web.BaseRequest) -> bool:
    """Whether the request comes from no web page, or from one that this service has served."""
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return False
    origin = request.headers.get("Origin", "")
    return not origin or may_use(origin, (request.headers.get("Host", ""),), ())


def _from_own_page(request: web.BaseRequest) -> bool:
    """Whether a cookie counts: a browser names the origin of every request that may change something."""
    if request.method not in _SAFE_METHODS and "Origin" not in request.headers:
        return False
    hosts = (request.headers.get("Host", ""), request.headers.get("X-Forwarded-Host", "").partition(",")[0].strip())
    origin = request.headers.get("Origin", "")
    return (not origin or may_use(origin, hosts, ())) and request.headers.get("Sec-Fetch-Site") not in (
        "same-site", "cross-site",
    )  # fmt: skip


def text_of(auth: Any, key: str) -> str:
    """A text field of Socket.IO's `auth`."""
    value = auth.get(key) if isinstance(auth, Mapping) else None
    return value if isinstance(value, str) else ""
