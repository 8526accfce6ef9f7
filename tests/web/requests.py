"""Sample pictures and requests that several web tests use."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import aiohttp

from appliance.values import Size
from appliance.vision import decode, scene

NUMBER = (int, float)


@lru_cache(maxsize=64)
def picture(seed: int, size: Size = Size(640, 360)) -> bytes:
    """A JPEG of a small drawn scene; each seed gives another picture."""
    return decode.encode_jpeg(scene.draw(size, seed=seed)[0], 80)


def is_limits(limits: Any) -> bool:
    return (
        set(limits) == {"min_interval", "max_side", "jpeg_quality", "reason"}
        and isinstance(limits["min_interval"], NUMBER)
        and type(limits["max_side"]) is int
        and type(limits["jpeg_quality"]) is int
        and isinstance(limits["reason"], str)
    )


async def get(url: str, path: str, **headers: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession(url, headers=headers) as session, session.get(path) as answer:
        return answer.status, json.loads(await answer.text())


def form(**fields: bytes | str) -> aiohttp.FormData:
    data = aiohttp.FormData()
    for name, value in fields.items():
        data.add_field(name, value, filename="f.jpg" if isinstance(value, bytes) else None)
    return data


POLLING = "/socket.io/?EIO=4&transport=polling"


WEBSOCKET = "/socket.io/?EIO=4&transport=websocket"
