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
from appliance.vision import picture_files

if TYPE_CHECKING:
    from appliance.commands.detect_files import Still


def add(commands: Any) -> None:
    """Add the command."""
    detect = add_command(commands, "detect", _detect, "detect objects in picture files, without a running service")
    add_settings(detect)
    detect.add_argument(
        "pictures", nargs="+", type=Path, metavar="PICTURE", help="JPEG, PNG or WebP files, or folders of them"
    )
    detect.add_argument("--json", action="store_true", help="print one JSON object per picture")
    detect.add_argument(
        "--save", type=Path, metavar="FILE", help="draw the detections and write the picture to FILE (one PICTURE only)"
    )


def _detect(arguments: argparse.Namespace) -> int:
    pictures = [file for path in arguments.pictures for file in (picture_files.find(path) if path.is_dir() else [path])]
    if not pictures:
        return complain(f"no JPEG, PNG or WebP files in {', '.join(map(str, arguments.pictures))}", FAILED)
    if arguments.save and len(pictures) != 1:
        return complain("--save works with one picture only", USAGE)
    settings = in_force(arguments)
    logs.set_up("warning")
    from appliance.commands.detect_files import detect_files

    worst = OK
    with closing(detect_files(settings, pictures)) as stills:
        for still in stills:
            worst = max(worst, _show(still, arguments))
    return worst


def _show(still: Still, arguments: argparse.Namespace) -> int:
    """Print the result for one picture, save it with `--save`, and return the exit code."""
    if isinstance(still.outcome, Failed):
        return complain(f"{still.path}: {still.outcome.message} ({still.outcome.code})", FAILED)
    if isinstance(still.outcome, Detected):
        _print_detected(still.path, still.outcome, as_json=arguments.json)
        if arguments.save and still.picture is not None:
            return _save(arguments.save, still.picture, still.outcome)
    return OK


def _save(path: Path, picture: Picture, result: Detected) -> int:
    from appliance.commands.detect_files import pixels_of
    from appliance.vision.decode import encode_jpeg
    from appliance.vision.draw import draw_detections

    try:
        path.write_bytes(encode_jpeg(draw_detections(pixels_of(picture), result.detections), 90))
    except OSError as error:
        return complain(f"{path} cannot be written: {error.strerror}", FAILED)
    except BadFrame as error:
        return complain(f"{path} was not written: {error} ({error.code})", FAILED)
    return OK


def _print_detected(path: Path, result: Detected, *, as_json: bool) -> None:
    from appliance.web.payloads import of_detection, of_size

    if as_json:
        detections = [of_detection(one) for one in result.detections]
        print(json.dumps({"file": str(path), "image_size": of_size(result.image_size), "detections": detections}))
        return
    size, timing = result.image_size, result.timing
    print(f"{path}  {size.width}x{size.height}  decode {timing.decode_ms:.0f} ms, inference {timing.infer_ms:.0f} ms")
    for one in result.detections:
        box = one.box_px
        print(f"  {one.name:<16} {one.confidence:4.0%}   {box.x1:6.0f} {box.y1:6.0f} {box.x2:6.0f} {box.y2:6.0f}")
    if not result.detections:
        print("  no objects detected")
