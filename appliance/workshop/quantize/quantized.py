"""An INT8 network as a bundle beside the one it was made from."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from appliance.errors import ModelError
from appliance.models import bundle as bundles
from appliance.models import scratch
from appliance.models.bundle import Bundle, Quantized


def check(told: Quantized, max_drop: float) -> None:
    """Refuse a network that sees too little. Raises ModelError model_accuracy, saying by how much and what to do."""
    drop = told.points_before - told.points_after
    if drop <= max_drop:
        return
    raise ModelError(
        f"INT8 loses {drop:.1f} points ({told.points_before:.1f} -> {told.points_after:.1f}, {told.measure}, "
        f"{told.judged_by} pictures), and at most {max_drop:g} are allowed; nothing was written. Calibrate with more "
        "pictures of your own cameras (300, day and night), or allow it with --max-drop",
        "model_accuracy",
    )


def write(network: Path, folder: Path, original: Bundle, told: Quantized, tools: Mapping[str, str]) -> Bundle:
    """Put the network and its manifest into `folder`, which appears whole or not at all, in place of what was there.

    `network`: the .xml file; its weights lie beside it.
    """
    with scratch.appearing(folder) as fresh:
        for suffix in (".xml", ".bin"):
            shutil.copyfile(network.with_suffix(suffix), fresh / f"model{suffix}")
        bundle = replace(
            original,
            name=folder.name,
            network=fresh / "model.xml",
            precision="int8",
            quantized=told,
            agreement=None,
            tools=original.tools | dict(tools),
        )
        bundles.write_manifest(bundle)
    return bundles.read(folder)
