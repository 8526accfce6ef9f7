"""`appliance model quantize` with a fake NNCF, and once with NNCF itself if its environment exists."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from appliance import cli
from appliance.engines import registry
from appliance.errors import ModelError
from appliance.models import bundle as bundles
from appliance.models.bundle import Bundle
from appliance.ports import ReportLine
from appliance.service.loading import load_network
from appliance.settings import loader
from appliance.values import Size
from appliance.workshop import known_models
from appliance.workshop.environment import is_ready, python_of
from appliance.workshop.quantize import nncf_process
from appliance.workshop.quantize.layer_search import Quantizer
from appliance.workshop.quantize.quantize import StartQuantizer, quantize, start_nncf
from tests.models import networks
from tests.models.bundles import make_bundles
from tests.workshop.fakes import make_pictures


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return make_bundles(tmp_path / "models", "yolo11n")


def same(network: Path, output: Path) -> None:
    for suffix in (".xml", ".bin"):
        shutil.copyfile(network.with_suffix(suffix), output.with_suffix(suffix))


def blind(network: Path, output: Path) -> None:
    """Like a badly quantized head: all confidences are 0."""
    import openvino
    from openvino import opset13

    model = openvino.Core().read_model(network)
    last = model.output(0).get_node().input_value(0)
    model = openvino.Model(
        [opset13.multiply(last, opset13.constant(np.zeros(1, np.float32)))], model.get_parameters(), "blind"
    )
    openvino.save_model(model, output)


class FakeNNCF:
    """Writes networks with `make`; if `curable`, with `same` once the right group stays in floating point."""

    def __init__(self, network: Path, make: object, curable: bool) -> None:
        self.operations = [("/model.0/conv", "Convolution"), ("/model.1/conv", "Convolution")]
        self._network, self._make, self._curable = network, make, curable

    def quantize(self, ignored: Sequence[str], output: Path) -> Path:
        assert callable(self._make)
        (same if self._curable and "/model.1/conv" in ignored else self._make)(self._network, output)
        return output


def fake(make: object, curable: bool = False) -> StartQuantizer:
    @contextmanager
    def start(network: Path, inputs: Path, report: ReportLine) -> Iterator[FakeNNCF]:
        assert len(list(inputs.glob("*.npy"))) == 5
        yield FakeNNCF(network, make, curable)

    return start


def run(models: Path, start: StartQuantizer, lines: list[str] | None = None, **changed: object) -> Bundle:
    settings = loader.load(flags={"model.dir": str(models)})
    pictures = make_pictures(models.parent / "images", 10)
    report = (lines if lines is not None else []).append
    options: dict[str, object] = {"labels": None, "out": "small", "max_drop": 1.0, "most": 300} | changed
    return quantize(settings, "yolo11n", pictures=pictures, report=report, start=start, **options)  # type: ignore[arg-type]


def test_a_network_of_equal_accuracy_becomes_a_bundle(models: Path) -> None:
    lines: list[str] = []
    made = run(models, fake(same), lines)
    assert made == bundles.read(models / "small")
    assert (made.name, made.precision, made.classes) == ("small", "int8", networks.CLASSES)
    assert made.quantized is not None
    assert made.quantized.made_from == "yolo11n"
    assert (made.quantized.measure, made.quantized.points_before, made.quantized.points_after) == ("likeness", 100, 100)
    assert (made.quantized.calibrated_by, made.quantized.judged_by, made.quantized.floating) == (5, 5, ())
    assert any("no labels were found" in line for line in lines)


def test_labels_next_to_the_pictures_are_used(models: Path) -> None:
    labels = models.parent / "labels"
    labels.mkdir()
    (labels / "001.txt").write_text("0 0.75 0.75 0.2 0.2\n")
    made = run(models, fake(same))
    assert made.quantized is not None
    assert made.quantized.measure == "map50_95"


def test_a_network_that_loses_too_much_is_rejected_and_nothing_is_written(models: Path) -> None:
    with pytest.raises(ModelError, match=r"loses 100\.0 points .*at most 1 is allowed\. Nothing was written") as caught:
        run(models, fake(blind))
    assert caught.value.code == "model_accuracy"
    assert sorted(path.name for path in models.iterdir()) == ["yolo11n"]


def test_a_network_that_loses_too_much_does_not_replace_another(models: Path) -> None:
    before = run(models, fake(same))
    with pytest.raises(ModelError):
        run(models, fake(blind))
    assert bundles.read(models / "small") == before


def test_layers_that_must_stay_in_floating_point_are_found_and_recorded(models: Path) -> None:
    lines: list[str] = []
    made = run(models, fake(blind, curable=True), lines)
    assert made.quantized is not None
    assert made.quantized.floating == ("/model.1/output",)
    assert any("/model.1/output in floating point: 100.0 points" in line for line in lines)


def test_the_service_reports_int8(models: Path) -> None:
    run(models, fake(same))
    network = load_network(loader.load(flags={"model.dir": str(models), "model.name": "small"}))
    network.engine.close()
    assert network.info.precision == "int8"


@pytest.mark.parametrize("out", ["", "yolo11n", ".small", "a/b", "..", "two\nlines", "x" * 201])
def test_the_new_name_must_be_valid_and_unused(models: Path, out: str) -> None:
    with pytest.raises(ModelError, match="--out"):
        run(models, fake(same), out=out)


def test_an_int8_model_is_not_quantized_again(models: Path) -> None:
    run(models, fake(same))
    settings = loader.load(flags={"model.dir": str(models)})
    with pytest.raises(ModelError, match="already INT8"):
        quantize(settings, "small", pictures=models, labels=None, out="x", max_drop=1, most=9, report=lambda _: None)


def test_the_list_shows_the_precision(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(models, fake(same))
    assert cli.main(["model", "list", "--set", f"model.dir={models}"]) == 0
    first, second = sorted(line.strip("* ") for line in capsys.readouterr().out.splitlines())
    assert first.startswith("small")
    assert ", int8, " in first
    assert ", float, " in second


def test_errors_of_the_command_are_reported(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["model", "quantize", "--set", f"model.dir={models}", "--calibration", str(tmp_path / "none")]
    assert cli.main([*command, "yolo11n"]) == 1
    assert "contains 0 pictures" in capsys.readouterr().err
    assert cli.main([*command, "nothing"]) == 3
    assert "model not found: " in capsys.readouterr().err


class OnceExceptFor:
    """NNCF, but one group of layers stays in floating point, and there is nothing more to try."""

    def __init__(self, group: str, nncf: Quantizer) -> None:
        self.operations: list[tuple[str, str]] = []
        self._nncf = nncf
        self._kept = [name for name, _ in nncf.operations if name.startswith(f"{group}/")]
        assert self._kept

    def quantize(self, ignored: Sequence[str], output: Path) -> Path:
        assert not ignored
        return self._nncf.quantize(self._kept, output)


@contextmanager
def nncf_once(network: Path, inputs: Path, report: ReportLine) -> Iterator[OnceExceptFor]:
    with start_nncf(network, inputs, report) as nncf:
        yield OnceExceptFor("/model.6", nncf)


def test_nncf_quantizes_a_network_that_still_takes_any_size(models_dir: Path, tmp_path: Path) -> None:
    environment = nncf_process.environment()
    place = environment.folder()
    if not is_ready(environment, place):
        if os.environ.get("CI"):
            python_of(environment, place, print)
        else:
            pytest.skip(
                f"NOT TESTED: NNCF's environment does not exist ({place}); `appliance model quantize` creates it"
            )
    settings = loader.load(flags={"model.dir": str(tmp_path / "models"), "flow.max_side": "320"})
    shutil.copytree(models_dir / known_models.DEFAULT, tmp_path / "models" / known_models.DEFAULT)
    pictures = make_pictures(tmp_path / "images", 8, Size(320, 192))
    made = quantize(
        settings,
        known_models.DEFAULT,
        pictures=pictures,
        labels=None,
        out="small",
        max_drop=100,
        most=8,
        report=lambda _: None,
        start=nncf_once,  # each further network takes half a minute
    )
    assert made.quantized is not None
    network = made.network.read_text()
    assert network.count('element_type="i8"') > 60
    assert 'name="model.6.cv1.conv.weight"' in network, "stays in floating point"
    assert 'name="model.5.conv.weight"' not in network, "has become INT8"
    engine = registry.create("openvino", made.network)
    for size in (Size(640, 384), Size(640, 640), Size(320, 192), Size(416, 256)):
        engine.prepare(size)
    engine.close()
