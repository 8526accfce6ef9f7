"""Which engines `appliance tune` compares."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.commands.tune import acts
from appliance.settings import loader
from tests.models.bundles import make_bundles


@pytest.mark.parametrize("server", ["", "grpc://10.0.0.9:9000"])
def test_an_inference_server_is_compared_only_where_one_is_set(tmp_path: Path, server: str) -> None:
    models = make_bundles(tmp_path / "models", "gate")
    settings = loader.load(flags={"model.dir": str(models), "model.name": "gate", "engine.server": server})
    assert ("kserve" in acts.subject_of(settings).others) == bool(server)
