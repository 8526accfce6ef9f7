"""Check an INT8 network and write it as a bundle."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from appliance.errors import ModelError
from appliance.models import bundle as bundles
from appliance.models import scratch
from appliance.models.bundle import Bundle, Quantized


def check(facts: Quantized, max_drop: float) -> None:
    """Reject a network that lost too much accuracy. Raises ModelError model_accuracy."""
    drop = facts.points_before - facts.points_after
    if drop <= max_drop:
        return
    raise ModelError(
        f"INT8 loses {drop:.1f} points ({facts.points_before:.1f} -> {facts.points_after:.1f}, {facts.measure}, "
        f"{facts.judged_by} pictures), but at most {max_drop:g} is allowed. Nothing was written. Calibrate on more "
        "pictures of your own cameras (300, by day and by night), or raise --max-drop",
        "model_accuracy",
    )


def write(network: Path, folder: Path, original: Bundle, facts: Quantized, tools: Mapping[str, str]) -> Bundle:
    """Write the network and its manifest into `folder`, replacing an existing one; it appears complete or not at all.

    `network`: the .xml file, with the .bin file next to it.
    """
    with scratch.appearing(folder) as fresh:
        for suffix in (".xml", ".bin"):
            shutil.copyfile(network.with_suffix(suffix), fresh / f"model{suffix}")
        bundle = replace(
            original,
            name=folder.name,
            network=fresh / "model.xml",
            precision="int8",
            quantized=facts,
            agreement=None,
            tools=original.tools | dict(tools),
        )
        bundles.write_manifest(bundle)
    return bundles.read(folder)
