"""The fuzzer itself: its inputs can be made again, its corpus is good, and a few hundred inputs do no harm."""

from __future__ import annotations

import json
from random import Random

import pytest

from tests.fuzz.mutate import mutated_tree
from tests.fuzz.target import Target, corpus
from tests.fuzz.within import WITHIN
from tests.fuzz.worker import TARGETS

_BY_NAME = {target.name: target for target in WITHIN}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_seed_and_a_number_make_the_same_input_again(target: Target) -> None:
    inputs = [target.input(7, index) for index in range(20)]
    assert [target.input(7, index) for index in range(20)] == inputs
    assert len(set(inputs)) > 5
    assert target.input(8, 3) != inputs[3] or target.input(8, 4) != inputs[4]


def test_the_shares_of_all_targets_are_a_whole() -> None:
    assert sum(target.share for target in TARGETS.values()) == pytest.approx(1)


def test_the_corpus_is_taken_as_it_is() -> None:
    with _BY_NAME["decode"].open() as take:
        assert [take(data) for data in corpus("decode")] == ["decoded"] * len(corpus("decode"))
    with _BY_NAME["settings"].open() as take:
        assert [take(data) for data in corpus("settings")] == ["read"]
    with _BY_NAME["manifest"].open() as take:
        names = (b"declaration.toml", b"manifest.json", b"metadata.yaml")
        for name, data in zip(names, corpus("manifest"), strict=True):
            assert take(name + b"\n" + data) == "read"


@pytest.mark.parametrize("target", WITHIN, ids=_BY_NAME)
@pytest.mark.filterwarnings("ignore")  # Pillow's, about damaged EXIF
def test_some_inputs_are_taken_or_refused(target: Target) -> None:
    with target.open() as take:
        assert len({take(target.input(1, index)) for index in range(200)}) > 1


def test_a_tree_stays_one_that_json_can_hold() -> None:
    tree = json.loads(next(data for data in corpus("manifest") if data.startswith(b"{")))
    for seed in range(200):
        json.dumps(mutated_tree(tree, Random(seed)))
