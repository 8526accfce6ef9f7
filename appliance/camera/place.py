"""Where in a site a camera belongs: what it puts into the query of its URL for the front."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

_PLACE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ANYWHERE = "1"


def place_of(payload: Any) -> str:
    """What the event `moved` asks to be put into the URL of the next connection."""
    place = payload.get("moved") if isinstance(payload, Mapping) else None
    return place if isinstance(place, str) and _PLACE.fullmatch(place) else _ANYWHERE


def placed(url: str, place: Mapping[str, str | None]) -> str:
    """The URL with these fields in its query, in place of those that it has."""
    parts = urllib.parse.urlsplit(url)
    kept = [(key, value) for key, value in urllib.parse.parse_qsl(parts.query, True) if key not in place]
    fields = [*kept, *((key, value) for key, value in place.items() if value)]
    return parts._replace(query=urllib.parse.urlencode(fields, quote_via=urllib.parse.quote)).geturl()
