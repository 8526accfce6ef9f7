"""`appliance detect`."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.cli.arguments import FAILED, OK, USAGE, add_command, add_settings, complain, in_force
from appliance.device import logs
from appliance.errors import BadFrame
from appliance.values import Detected, Failed, Picture

if TYPE_CHECKING:
    from appliance.commands.detect_files import Still


def add(commands: Any) -> None:
    """Put it among the commands."""
    detect = add_command(commands, "detect", _detect, "find objects in picture files, without a service")
    add_settings(detect)
    detect.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE", help="JPEG, PNG or WebP files")
    detect.add_argument("--json", action="store_true", help="print one JSON object a picture")
    detect.add_argument("--save", type=Path, metavar="FILE", help="write the picture with its boxes (one PICTURE)")


def _detect(arguments: argparse.Namespace) -> int:
    if arguments.save and len(arguments.pictures) != 1:
        return complain("--save takes one picture", USAGE)
    settings = in_force(arguments)
    logs.set_up("warning")
    from appliance.commands.detect_files import detect_files

    worst = OK
    with closing(detect_files(settings, arguments.pictures)) as stills:
        for still in stills:
            worst = max(worst, _show(still, arguments))
    return worst


def _show(still: Still, arguments: argparse.Namespace) -> int:
    """Print what came of one picture, and save it if that was asked for; the exit code for it."""
    if isinstance(still.outcome, Failed):
        return complain(f"{still.path}: {still.outcome.message} ({still.outcome.code})", FAILED)
    if isinstance(still.outcome, Detected):
        _print_detected(still.path, still.outcome, as_json=arguments.json)
        if arguments.save and still.picture is not None:
            return _save(arguments.save, still.picture, still.outcome)
    return OK


def _save(path: Path, picture: Picture, found: Detected) -> int:
    from appliance.commands.detect_files import pixels_of
    from appliance.vision.decode import encode_jpeg
    from appliance.vision.draw import draw_detections

    try:
        path.write_bytes(encode_jpeg(draw_detections(pixels_of(picture), found.detections), 90))
    except OSError as error:
        return complain(f"{path} cannot be written: {error.strerror}", FAILED)
    except BadFrame as error:
        return complain(f"{path} is not written: {error} ({error.code})", FAILED)
    return OK


def _print_detected(path: Path, found: Detected, *, as_json: bool) -> None:
    from appliance.web.payloads import of_detection, of_size

    if as_json:
        detections = [of_detection(one) for one in found.detections]
        print(json.dumps({"file": str(path), "image_size": of_size(found.image_size), "detections": detections}))
        return
    size, timing = found.image_size, found.timing
    print(f"{path}  {size.width}x{size.height}  decode {timing.decode_ms:.0f} ms, inference {timing.infer_ms:.0f} ms")
    for one in found.detections:
        box = one.box_px
        print(f"  {one.name:<16} {one.confidence:4.0%}   {box.x1:6.0f} {box.y1:6.0f} {box.x2:6.0f} {box.y2:6.0f}")
    if not found.detections:
        print("  nothing found")
