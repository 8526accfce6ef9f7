"""Section `[cache]`: results of byte-identical images."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class CacheSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Cache of results for byte-identical images."""

    enabled: Annotated[bool, Meta(description="Cache results.")] = True
    entries: Annotated[int, Meta(ge=1, le=100_000, description="Maximum number of cached results.")] = 100
    max_bytes: Annotated[
        int, Meta(ge=10_000, le=4_000_000_000, description="Maximum memory for cached results, bytes.")
    ] = 2_000_000
    ttl_s: Annotated[float, Meta(ge=0.1, le=86_400, description="Lifetime of a cached result, s.")] = 60.0
