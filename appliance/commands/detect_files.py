"""Detect objects in picture files without a running service, for `appliance detect`."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from appliance.errors import BadFrame
from appliance.flow.inference import Inference
from appliance.governor.room import Room
from appliance.service.from_settings import frame_parser
from appliance.service.loading import load_to_serve
from appliance.settings.schema import Settings
from appliance.values import Failed, Outcome, Picture
from appliance.vision import decode
from appliance.vision.admission import Admission

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Still:
    """One picture file and its outcome. `picture` is None where the file cannot be read as one."""

    path: Path
    picture: Picture | None
    outcome: Outcome


def pixels_of(picture: Picture) -> decode.Pixels:
    """Decode a picture at its full size. Raises BadFrame."""
    with Admission(Room()).admitted(picture, picture.size):
        return decode.decode(picture)


def detect_files(settings: Settings, paths: Iterable[Path]) -> Generator[Still, None, None]:
    """Run inference on picture files, one after another, each at its best size. Raises ModelError or EngineError."""
    engine = structs.replace(settings.engine, any_size="on")
    network = load_to_serve(structs.replace(settings, engine=engine), prepare=False)
    if network.lacks is not None:
        log.warning("%s; using %s instead", network.lacks, network.info.engine)
    inference = Inference(network, clock=time.monotonic, admission=Admission(Room()))
    parser = frame_parser(settings, time.monotonic)
    try:
        for path in paths:
            try:
                frame = parser.parse_now(path.read_bytes(), camera="file", sender="file", frame_id=str(path))
                yield Still(path, frame.picture, inference.run(frame, settings.flow.max_side).detected)
            except OSError as error:
                yield Still(path, None, Failed("file_unreadable", error.strerror or str(error)))
            except BadFrame as error:
                yield Still(path, None, Failed(error.code, str(error)))
    finally:
        network.close()
