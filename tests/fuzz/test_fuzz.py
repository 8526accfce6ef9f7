"""The fuzzer: its inputs are reproducible, its corpus is valid, and a few hundred inputs cause no findings."""

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
def test_the_same_seed_and_number_create_the_same_input(target: Target) -> None:
    inputs = [target.input(7, index) for index in range(20)]
    assert [target.input(7, index) for index in range(20)] == inputs
    assert len(set(inputs)) > 5
    assert target.input(8, 3) != inputs[3] or target.input(8, 4) != inputs[4]


def test_the_shares_of_all_targets_add_up_to_one() -> None:
    assert sum(target.share for target in TARGETS.values()) == pytest.approx(1)


def test_the_unchanged_corpus_is_valid() -> None:
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
def test_inputs_have_different_outcomes(target: Target) -> None:
    with target.open() as take:
        assert len({take(target.input(1, index)) for index in range(200)}) > 1


def test_a_mutated_tree_can_be_encoded_as_json() -> None:
    tree = json.loads(next(data for data in corpus("manifest") if data.startswith(b"{")))
    for seed in range(200):
        assert json.dumps(mutated_tree(tree, Random(seed)))
