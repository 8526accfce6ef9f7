"""The description that each release keeps of itself: `release.json` in its folder, as it was offered."""

from __future__ import annotations

import msgspec

from appliance import files
from appliance.update.offer import Offer
from appliance.update.places import UpdatePlaces

FILE = "release.json"
_MOST_BYTES = 50_000


def described(places: UpdatePlaces, name: str) -> Offer | None:
    """How an installed release was offered; None: it was installed in another way."""
    if not name:
        return None
    try:
        return msgspec.json.decode(files.read_plain(places.releases / name / FILE, _MOST_BYTES), type=Offer)
    except (OSError, msgspec.MsgspecError):
        return None


def number_of(places: UpdatePlaces, name: str) -> int:
    """The number of an installed release; 0: unknown."""
    offer = described(places, name)
    return offer.number if offer else 0


def built_s(places: UpdatePlaces, name: str) -> float:
    """When an installed release was signed, s since 1970; 0: unknown."""
    offer = described(places, name)
    return offer.signed_s if offer else 0.0
