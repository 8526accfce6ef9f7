"""The search for layers in floating point, with fakes for NNCF, the accuracy and the clock."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from appliance.errors import ModelError
from appliance.workshop.quantize.judge import Judge
from appliance.workshop.quantize.layer_search import LayerSearch


class FakeQuantizer:
    """Names each network after what it leaves in floating point."""

    def __init__(self) -> None:
        self.operations = [(f"/model.{number}/conv", "Convolution") for number in range(3)]

    def quantize(self, ignored: Sequence[str], output: Path) -> Path:
        return Path("+".join(ignored) or "all")


class FakeJudge:
    points_before = 50.0

    def points(self, network: Path) -> float:
        return 50.0

    def closeness(self, network: Path) -> float:
        return 0.9


class FakeTimer:
    """`whole`: the time of an inference of each network, ms."""

    def __init__(self, **whole: float) -> None:
        self.whole = whole

    def by_group(self, networks: Sequence[Path]) -> list[dict[str, float]]:
        return [{"/model.0": 1.0, "/model.1": 1.0}, {"/model.0": 3.0, "/model.1": 2.0}]

    def of_inference(self, networks: Sequence[Path]) -> list[float]:
        return [self.whole[str(network).replace("/", "_").replace(".", "_")] for network in networks]


def run(timer: FakeTimer, least_gain: float | None, tmp_path: Path) -> tuple[str, ...]:
    search = LayerSearch(FakeQuantizer(), cast(Judge, FakeJudge()), tmp_path, lambda _: None)
    return tuple(group.name for group in search.run(Path("original"), timer, 1.0, least_gain).floating)


def test_groups_that_are_slower_in_int8_stay_in_floating_point_only_if_the_whole_is_faster(tmp_path: Path) -> None:
    timer = FakeTimer(all=10.0, _model_0_conv=9.0)
    timer.whole["_model_0_conv+_model_1_conv"] = 9.5
    assert run(timer, None, tmp_path) == ("/model.0",)


def test_a_network_that_int8_makes_no_faster_is_given_up_after_the_first_trial(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not faster on this device: 9\.8 ms instead of 10\.0") as caught:
        run(FakeTimer(original=10.0, all=9.8), 0.05, tmp_path)
    assert caught.value.code == "not_faster"
