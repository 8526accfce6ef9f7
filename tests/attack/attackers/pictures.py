"""Pictures that are small to send and expensive to decode, over Socket.IO and HTTP."""

from __future__ import annotations

import asyncio

from tests.attack import pictures
from tests.attack.table import attack
from tests.attack.wire import DETECT, Target, picture_event


def webp_bomb() -> bytes:
    return pictures.flat("WEBP", 6320, 6320)


def png_bomb() -> bytes:
    return pictures.flat("PNG", 6240, 6240)


def bombs_with_alpha() -> list[bytes]:
    return [pictures.flat(kind, 6240, 6240, "RGBA") for kind in ("PNG", "WEBP")]


def odd_bombs() -> list[bytes]:
    return [pictures.flat("PNG", 6240, 6240, mode) for mode in ("I;16", "1", "P")] + [
        pictures.png_that_lies(6240, 6240)
    ]


def png_texts() -> bytes:
    return pictures.png_with_texts(60, 1_000_000)


def jpeg_scans() -> bytes:
    return pictures.jpeg_with_scans(98, 6240)


def large_jpegs() -> list[bytes]:
    return [pictures.flat("JPEG", 6240, 6240, mode) for mode in ("RGB", "CMYK")]


@attack("WebP of 6320x6320, eight at once", at_once=8, quick=True, prepare=webp_bomb)
async def push_webp_bombs(target: Target) -> None:
    await _push(target, webp_bomb())


@attack("PNG of 39 megapixels, eight at once", at_once=8, quick=True, prepare=png_bomb)
async def push_png_bombs(target: Target) -> None:
    await _push(target, png_bomb())


@attack("PNG with alpha and WebP of 39 megapixels over HTTP", at_once=8, prepare=bombs_with_alpha)
async def post_bombs(target: Target) -> None:
    for data in bombs_with_alpha():
        await target.ask("POST", DETECT, data)


@attack("PNG of 16 bits, grey, palette and lies, 39 megapixels", at_once=4, prepare=odd_bombs)
async def push_odd_bombs(target: Target) -> None:
    for data in odd_bombs():
        await _push(target, data)


@attack("PNG with 60 zTXt chunks of a megabyte", at_once=4, quick=True, prepare=png_texts)
async def push_png_texts(target: Target) -> None:
    await _push(target, png_texts())


@attack("JPEG with 98 scans", at_once=4, quick=True, prepare=jpeg_scans)
async def push_jpeg_scans(target: Target) -> None:
    await _push(target, jpeg_scans())


@attack("JPEG of 39 megapixels, RGB and CMYK", at_once=4, prepare=large_jpegs)
async def push_large_jpegs(target: Target) -> None:
    for data in large_jpegs():
        await _push(target, data)


@attack("damaged pictures, as fast as they are refused", at_once=4)
async def damaged_pictures(target: Target) -> None:
    good = pictures.camera_picture()
    async with target.joined() as wire:
        for cut in range(10, len(good), len(good) // 40):
            await wire.send(picture_event(good[:cut]) + picture_event(good[:cut] + bytes(500) + good[cut + 500 :]))
        await asyncio.sleep(0.2)


async def _push(target: Target, data: bytes) -> None:
    """Send two frames like a camera, and wait a moment."""
    async with target.joined() as wire:
        await wire.send(picture_event(data) * 2)
        await asyncio.sleep(1)
