"""Write a network in OpenVINO's format."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from appliance.errors import last_line


def save(model: Any, path: Path) -> None:
    """Write the network as `path`, an .xml file, and a .bin file with FP16 weights next to it. Raises OSError."""
    import openvino

    try:
        openvino.save_model(model, path, compress_to_fp16=True)
    except RuntimeError as error:  # OpenVINO gives no reason: "basic_ios::clear: iostream error"
        raise OSError(
            errno.EIO, f"the network cannot be written ({last_line(error)}). Is the disk full?", str(path)
        ) from None
