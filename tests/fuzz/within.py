"""Targets that are functions of the package: pictures, frames, forms, model bundles, settings."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from appliance.errors import BadFrame, ConfigError, ModelError
from appliance.models import bundle, metadata
from appliance.settings import loader
from appliance.values import Size
from appliance.vision import decode
from appliance.vision.letterbox import fit
from appliance.web.form import read_form
from appliance.web.frame_parser import FIELDS, FrameParser
from appliance.workshop import declared
from tests.fuzz.mutate import ODD_VALUES, mutated, mutated_tree
from tests.fuzz.target import CORPUS, Take, Target, corpus

_MOST_PIXELS = 500_000
_INPUT = Size(160, 96)
_PICTURES = corpus("decode")
_MARKERS = (
    b"\xff\xd8\xff", b"\xff\xc0", b"\xff\xc2", b"\xff\xda\0\x08\x01", b"\xff\xd9", b"\xff\xe1", b"Exif\0\0MM\0*",
    b"\x89PNG\r\n\x1a\n", b"IHDR", b"IDAT", b"IEND", b"PLTE", b"tRNS", b"zTXt", b"eXIf", b"iCCP", b"acTL", b"fdAT",
    b"VP8X", b"VP8L", b"VP8 ", b"ALPH", b"ANMF", b"EXIF",
)  # fmt: skip


@contextlib.contextmanager
def _decoding() -> Iterator[Take]:
    def take(data: bytes) -> str:
        try:
            picture = decode.read_header(data, _MOST_PIXELS)
            pixels = decode.load(picture, fit(picture.size, _INPUT))
        except BadFrame as error:
            return error.code
        assert pixels.shape == (_INPUT.height, _INPUT.width, 3)
        return "decoded"

    yield take


def _a_frame(random: Random) -> bytes:
    """A `process_frame` payload as a Python literal."""
    picture: Any = mutated(_PICTURES, random) if random.random() < 0.5 else random.choice(_PICTURES)
    if random.random() < 0.7:
        text = random.choice((base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes))(picture)
        prefix = random.choice((b"", b"", b"data:image/jpeg;base64,", b"data:,"))
        picture = (prefix + mutated([text], random)).decode("latin1")
    frame: Any = {"image": picture}
    for field in FIELDS[1:]:
        if random.random() < 0.4:
            frame[field] = random.choice((*ODD_VALUES, 0.5, "person", ["person"], 1764332000.123))
    if random.random() < 0.3:
        frame = mutated_tree(frame, random)
    return repr(frame if random.random() < 0.8 else picture).encode("utf-8", "surrogatepass")


@contextlib.contextmanager
def _taking_frames() -> Iterator[Take]:
    parser = FrameParser(max_frame_bytes=100_000, max_pixels=_MOST_PIXELS, min_confidence=0.25, clock=lambda: 1000.0)

    def take(data: bytes) -> str:
        payload = eval(data.decode("utf-8", "surrogatepass"), {"nan": math.nan, "inf": math.inf})  # written by repr()
        try:
            parser.parse_now(payload, camera="gate", sender="x", frame_id=1)
        except BadFrame as error:
            return error.code
        return "taken"

    yield take


def _a_form(random: Random) -> bytes:
    """A Content-Type, a line break, and a body."""
    kind = mutated([b"multipart/form-data; boundary=x", b'multipart/form-data; boundary="a b"'], random)
    if random.random() < 0.8:
        kind = b"multipart/form-data; boundary=x"
    tokens = (b"--x\r\n", b"--x--\r\n", b"\r\n\r\n", b'Content-Disposition: form-data; name="image"\r\n')
    return kind.replace(b"\n", b"") + b"\n" + mutated(corpus("form"), random, tokens)


@contextlib.contextmanager
def _reading_forms() -> Iterator[Take]:
    def take(data: bytes) -> str:
        kind, _, body = data.partition(b"\n")
        try:
            fields = read_form(body, kind.decode("utf-8", "surrogateescape"))
        except BadFrame as error:
            return error.code
        assert sum(map(len, fields.values())) <= len(body)
        return "read"

    yield take


def _a_bundle(random: Random) -> bytes:
    """A line with a file name, and the content of the file."""
    name = random.choice(("manifest.json",) * 7 + ("metadata.yaml", "declaration.toml"))
    whole = (CORPUS / "manifest" / name).read_bytes()
    if name == "manifest.json" and random.random() < 0.6:
        tree = json.loads(whole)
        for _ in range(random.choice((1, 1, 2, 3))):
            tree = mutated_tree(tree, random)
        return name.encode() + b"\n" + json.dumps(tree).encode()
    return name.encode() + b"\n" + mutated([whole], random, (b"!!python/object:os.system", b"&a *a", b"[[a]]", b": "))


@contextlib.contextmanager
def _reading_bundles() -> Iterator[Take]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "model")
        folder.mkdir()
        (folder / "model.xml").write_text("<net/>")
        (folder / "model.bin").write_bytes(bytes(10))

        def take(data: bytes) -> str:
            name, _, content = data.partition(b"\n")
            path = folder / name.decode()
            path.write_bytes(content)
            try:
                if path.name == "manifest.json":
                    bundle.read(folder)
                elif path.name == "metadata.yaml":
                    metadata.parse(path, metadata.read_yaml(path))
                else:
                    declared.read(path)
            except ModelError as error:
                return error.code
            finally:
                path.unlink()
            return "read"

        yield take


def _some_settings(random: Random) -> bytes:
    """A settings file, or one setting as in a flag or environment variable (`=section.key=value`)."""
    whole = (CORPUS / "settings" / "appliance.toml").read_bytes()
    lines = whole.decode().splitlines()
    at = random.choice([number for number, line in enumerate(lines) if "=" in line])
    key, _, _ = lines[at].partition(" = ")
    odd = random.choice((*ODD_VALUES, "1979-05-27", "0x7f", "-1e999", "{a = 1}", "[[1]]"))
    if random.random() < 0.2:
        section = random.choice(("server", "flow", "governor", "camera", "cameras.gate", "log", "x" * 80))
        return f"={section}.{key}={odd}".encode("utf-8", "replace")
    if random.random() < 0.5:
        value = odd if isinstance(odd, str) and random.random() < 0.5 else json.dumps(odd)
        return "\n".join([*lines[:at], f"{key} = {value}", *lines[at + 1 :]]).encode("utf-8", "replace")
    return mutated(
        [whole], random, (b"[server]", b"[cameras.x]", b"[[a]]", b'"""', b"port = 1", b"{a={a={a=", b"\xe2\x80\xa8")
    )


@contextlib.contextmanager
def _reading_settings() -> Iterator[Take]:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "appliance.toml")

        def take(data: bytes) -> str:
            flags: dict[str, str] = {}
            if data.startswith(b"="):
                key, _, value = os.fsdecode(data[1:]).partition("=")
                flags[key] = value
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(data)
            try:
                loader.describe(loader.load(None if flags else path, {}, flags))
            except ConfigError:
                if not flags:
                    loader.describe(loader.salvage(path, {}, {}))
                return "rejected"
            return "read"

        yield take


WITHIN = (
    Target("decode", 0.25, lambda random: mutated(_PICTURES, random, _MARKERS), _decoding),
    Target("frame", 0.2, _a_frame, _taking_frames),
    Target("form", 0.15, _a_form, _reading_forms),
    Target("manifest", 0.1, _a_bundle, _reading_bundles),
    Target("settings", 0.08, _some_settings, _reading_settings),
)
