"""Measuring: each size on the real path with a fake engine, and the whole command with a real engine."""

from __future__ import annotations

import io
import json
import os
import threading
from pathlib import Path
from xml.etree import ElementTree

import pytest

from appliance import cli
from appliance.commands.bench.measure import expected_s, measure
from appliance.commands.bench.plan import Plan
from appliance.commands.bench.progress import Progress
from appliance.commands.bench.report import BenchReport
from appliance.device import profile
from appliance.errors import EngineError, ModelError
from appliance.flow.inference import Network
from appliance.settings.loader import load
from appliance.settings.schema import Settings
from appliance.values import Size
from tests.fakes import FakeEngine, broken_engine, fake_network

pytestmark = pytest.mark.usefixtures("own_logging")

QUICK = Plan((640, 320), seconds=0.05)


class Loader:
    """Loads networks with fake engines and records the calls."""

    def __init__(self) -> None:
        self.engines: dict[str, FakeEngine] = {}
        self.sizes_kept: list[int] = []

    def __call__(self, settings: Settings) -> Network:
        self.sizes_kept.append(settings.engine.sizes)
        if (Path(settings.model.dir) / settings.model.name / "broken").exists():
            raise ModelError("it is damaged", "model_corrupt")
        engine = self.engines.setdefault(settings.model.name, FakeEngine())
        engine.closed = False  # loaded again
        return fake_network(engine)


def bench(models_dir: Path, plan: Plan, loader: Loader) -> tuple[BenchReport, str]:
    settings = load(flags={"model.dir": str(models_dir)})
    output = io.StringIO()
    return measure(settings, plan, Progress(output, expected_s(settings, plan)), loader), output.getvalue()


def test_each_size_is_measured_from_jpeg_to_detections_and_saved(tmp_path: Path) -> None:
    loader = Loader()
    report, output = bench(tmp_path, QUICK, loader)
    (found,) = report.profiles
    assert [(rung.side, rung.size) for rung in found.rungs] == [(640, Size(640, 384)), (320, Size(320, 192))]
    for rung in found.rungs:
        assert 0 < rung.infer_ms <= rung.frame_ms
        assert rung.cpu_ms > 0
        assert rung.fps > 0
        assert rung.resident_bytes > 1_000_000
        assert 0 <= rung.others_percent <= 100
    assert {tensor.shape for tensor in loader.engines["yolo11n"].tensors} == {(384, 640, 3), (192, 320, 3)}
    assert loader.engines["yolo11n"].closed
    kept = profile.read(profile.path_in(tmp_path, "yolo11n"), found.subject)
    assert kept == found
    assert len(output.splitlines()) == 2
    assert output.startswith("fake 640x384: ")


def test_the_int8_version_is_measured_too(tmp_path: Path) -> None:
    (tmp_path / "yolo11n-int8").mkdir()
    loader = Loader()
    report, _ = bench(tmp_path, QUICK, loader)
    assert len(report.profiles) == 2
    assert list(loader.engines) == ["yolo11n", "yolo11n-int8"]
    assert sorted(path.name for path in tmp_path.glob("*.json")) == [
        "profile-yolo11n-int8.json",
        "profile-yolo11n.json",
    ]


def test_a_broken_int8_version_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "yolo11n-int8" / "broken").mkdir(parents=True)
    report, output = bench(tmp_path, QUICK, Loader())
    assert len(report.profiles) == 1
    assert "yolo11n-int8 skipped: it is damaged" in output


def test_all_sizes_stay_loaded_while_measuring(tmp_path: Path) -> None:
    loader = Loader()
    bench(tmp_path, Plan((640, 512, 416, 320, 256, 192), seconds=0.02), loader)
    assert loader.sizes_kept == [6]


def test_the_benchmark_uses_as_many_threads_as_the_service(tmp_path: Path) -> None:
    loader = Loader()
    seen: set[str] = set()

    class Watched(FakeEngine):
        def prepare(self, size: Size | None) -> bool:
            seen.update(thread.name for thread in threading.enumerate())
            return super().prepare(size)

        def infer(self, *arguments, **options):  # type: ignore[no-untyped-def]  # passes on
            seen.add(threading.current_thread().name)
            return super().infer(*arguments, **options)

    loader.engines["yolo11n"] = Watched(slots=3)
    bench(tmp_path, Plan((64,), seconds=0.3), loader)
    assert {name for name in seen if name.startswith("bench")} == {f"bench_{number}" for number in range(4)}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("bench")]


def test_a_soak_reports_each_minute(tmp_path: Path) -> None:
    report, output = bench(tmp_path, Plan((320,), seconds=0.05, soak_s=0.2), Loader())
    (minute,) = report.soak
    assert 0.2 <= minute.at_s < 2
    assert minute.fps > 0
    assert output.splitlines()[-1].startswith("  0.0 min: ")


def test_an_interrupted_soak_keeps_the_results_so_far(tmp_path: Path) -> None:
    class Impatient(Progress):
        def stage(self, step: str) -> None:
            self.soaking = step.startswith("soaking")

        def advance(self, seconds: float) -> None:
            if self.soaking:
                raise KeyboardInterrupt

    output, loader = io.StringIO(), Loader()
    settings = load(flags={"model.dir": str(tmp_path)})
    report = measure(settings, Plan((320,), 0.05, soak_s=600.0), Impatient(output, 1.0), loader)
    assert len(report.profiles) == 1
    assert report.soak == ()
    assert output.getvalue().endswith("stopped early\n")
    assert loader.engines["yolo11n"].closed


def test_a_failing_engine_ends_the_benchmark(tmp_path: Path) -> None:
    loader = Loader()
    engine = loader.engines["yolo11n"] = FakeEngine()
    engine.error = broken_engine()
    with pytest.raises(EngineError, match="on fire"):
        bench(tmp_path, QUICK, loader)
    assert engine.closed
    assert not list(tmp_path.iterdir())


def test_an_unwritable_folder_is_only_a_warning(tmp_path: Path) -> None:
    report, output = bench(tmp_path / "nowhere", QUICK, Loader())
    assert report.profiles
    assert "cannot be written" in output


def test_the_command_prints_a_table_and_writes_json_and_a_chart(
    models_setting: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json_path, svg_path = tmp_path / "bench.json", tmp_path / "bench.svg"
    options = ["--seconds", "0.1", "--sides", "320,64", "--json", str(json_path), "--svg", str(svg_path)]
    assert cli.main(["bench", "--set", models_setting, *options]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].endswith("fps, cold. To measure when hot: --soak 30m")
    assert "* 320x192" in out
    assert "  64x64" in out
    assert [line.split(":")[0] for line in err.splitlines()] == ["yolo11n 320x192", "yolo11n 64x64"]
    content = json.loads(json_path.read_text())
    assert [one["side"] for one in content["profiles"][0]["rungs"]] == [320, 64]
    assert ElementTree.fromstring(svg_path.read_bytes()).tag.endswith("svg")
    assert (tmp_path / "models" / "profile-yolo11n.json").exists()


def test_the_command_reports_errors_with_their_exit_code(
    models_setting: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", "--set", models_setting, "--soak", "long"]) == 2
    assert "--soak 30m" in capsys.readouterr().err
    assert cli.main(["bench", "--set", f"model.dir={tmp_path / 'none'}", "--seconds", "0.1"]) == 3
    assert cli.main(["bench", "--set", models_setting, "--seconds", "0.1", "--sides", "64", "--svg", os.sep]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_other_engines_are_measured_and_missing_ones_are_skipped(tmp_path: Path) -> None:
    loaded: list[tuple[str, str]] = []

    def load_network(settings: Settings) -> Network:
        loaded.append((settings.engine.kind, settings.model.name))
        if settings.engine.kind == "abacus":
            raise EngineError("it has no beads")
        return fake_network(FakeEngine())

    settings = load(flags={"model.dir": str(tmp_path)})
    plan = Plan((320,), seconds=0.05, engines=("onnxruntime", "openvino", "abacus"))
    output = io.StringIO()
    report = measure(settings, plan, Progress(output, expected_s(settings, plan)), load_network)
    assert loaded == [("openvino", "yolo11n"), ("onnxruntime", "yolo11n"), ("abacus", "yolo11n")]
    assert len(report.profiles) == 2
    assert "yolo11n on abacus skipped: it has no beads" in output.getvalue()
    assert expected_s(settings, plan) == 3 * expected_s(settings, Plan((320,), seconds=0.05))
