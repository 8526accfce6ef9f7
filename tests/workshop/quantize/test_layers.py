"""Groups of layers, and the search for those that must stay in floating point."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from appliance.workshop.quantize import layer_times, layers
from appliance.workshop.quantize.layers import LayerGroup, QuantizationTrial

ONNX = [
    ("images", "Parameter"),
    ("/model.0/conv/Conv", "Convolution"),
    ("/model.1/Concat", "Concat"),
    ("/model.10/cv1/conv/Conv", "Convolution"),
    ("/model.10/m/m.0/attn/qkv/conv/Conv", "Convolution"),
    ("/model.10/m/m.0/attn/MatMul", "MatMul"),
    ("/model.23/cv2.0/cv2.0.0/conv/Conv", "Convolution"),
    ("/model.23/cv3.2/cv3.2.1/cv3.2.1.0/conv/Conv", "GroupConvolution"),
    ("/model.23/dfl/conv/Conv", "Convolution"),
    ("/model.23/Sub", "Subtract"),
    ("Multiply_4711", "Multiply"),
    ("output0", "Concat"),
]


def test_the_head_is_split_and_groups_without_weights_are_left_out() -> None:
    found = {group.name: group.operations for group in layers.groups(ONNX)}
    assert list(found) == [
        "/model.0", "/model.10", "/model.10/attention", "/model.23/cv2.0", "/model.23/cv3.2", "/model.23/dfl",
        "/model.23/output",
    ]  # fmt: skip
    assert found["/model.10/attention"] == ("/model.10/m/m.0/attn/MatMul",)
    assert found["/model.23/output"] == ("/model.23/Sub", "Multiply_4711", "output0")


def test_names_in_a_network_converted_from_pytorch_are_understood() -> None:
    operations = [
        ("__module.model.0.conv/aten::_convolution/Convolution", "Convolution"),
        ("__module.model.10.m.0.attn/aten::matmul/MatMul", "MatMul"),
        ("__module.model.23.cv2.0.0.conv/aten::_convolution/Convolution", "Convolution"),
        ("__module.model.23/aten::add/Add", "Add"),
    ]
    names = [group.name for group in layers.groups(operations)]
    assert names == ["/model.0", "/model.10/attention", "/model.23/cv2.0", "/model.23/output"]


def test_a_network_with_unknown_names_is_one_group() -> None:
    assert layers.groups([("conv", "Convolution"), ("add", "Add")]) == [LayerGroup("input", ("conv", "add"))]


class Lossy:
    """A fake network in which some groups lose points when they are quantized."""

    def __init__(self, **lost: float) -> None:
        self.groups = [LayerGroup(name, (name,)) for name in lost]
        self.lost = lost
        self.attempts = self.judged = 0

    def attempt(self, floating: tuple[LayerGroup, ...]) -> QuantizationTrial:
        self.attempts += 1
        kept = {group.name for group in floating}
        return QuantizationTrial(
            Path(), floating, 1 - sum(lost for name, lost in self.lost.items() if name not in kept) / 1000
        )

    def judge(self, trial: QuantizationTrial) -> QuantizationTrial:
        self.judged += 1
        return QuantizationTrial(trial.network, trial.floating, trial.closeness, drop=1000 * (1 - trial.closeness))

    def search(self, max_drop: float = 1.0) -> QuantizationTrial:
        return layers.search(self.groups, self.attempt(()), self.attempt, self.judge, max_drop)


def test_a_network_that_loses_nothing_is_quantized_completely() -> None:
    network = Lossy(a=0.1, b=0.2, c=0.1)
    assert network.search().floating == ()
    assert (network.attempts, network.judged) == (1, 1)


def test_a_single_group_that_loses_accuracy_is_found() -> None:
    lost = {f"g{number}": 0.0 for number in range(30)} | {"g17": 20.0}
    network = Lossy(**lost)
    assert [group.name for group in network.search().floating] == ["g17"]
    assert network.attempts <= 14


def test_the_output_of_the_head_is_tried_first_and_stays_in_int8_if_it_does_not_help() -> None:
    lost = {f"g{number}": 0.0 for number in range(30)}
    network = Lossy(**lost, **{"/model.23/output": 20.0})
    assert [group.name for group in network.search().floating] == ["/model.23/output"]
    assert network.attempts == 2
    found = Lossy(**(lost | {"g17": 20.0}), **{"/model.23/output": 0.0}).search()
    assert [group.name for group in found.floating] == ["g17"]


def test_groups_return_to_floating_point_one_by_one_worst_first() -> None:
    lost = {f"g{number}": 0.0 for number in range(12)} | {"g3": 5.0, "g10": 9.0}
    assert [group.name for group in Lossy(**lost).search().floating] == ["g10", "g3"]


def test_the_search_gives_up_with_the_best_result() -> None:
    found = Lossy(**{f"g{number}": 10.0 for number in range(12)}).search()
    assert found.drop is not None
    assert found.drop > 1
    assert len(found.floating) == 5


@given(st.lists(st.floats(0, 5), min_size=1, max_size=12))
def test_the_search_ends_and_is_never_worse_than_all_in_int8(losses: list[float]) -> None:
    network = Lossy(**{f"g{number}": loss for number, loss in enumerate(losses)})
    found = network.search()
    assert found.drop is not None
    assert found.drop <= sum(losses) + 1e-6


def test_only_groups_that_are_clearly_slower_are_worth_a_trial() -> None:
    before = {"a": 10.0, "b": 1.0, "c": 0.01, "d": 1.0, "": 1.0}
    after = {"a": 10.5, "b": 1.2, "c": 0.05, "d": 1.3, "": 5.0}
    found = layer_times.slower(before, after, [LayerGroup(name, (name,)) for name in ("a", "b", "c", "d", "new")])
    assert [group.name for group in found] == ["d", "b"]
