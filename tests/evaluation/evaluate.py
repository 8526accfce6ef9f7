"""Compare the accuracy of the appliance, through its socket, with that of Ultralytics' predictor.

Both use the same weights, pictures, NMS settings and lowest confidence, independently of each other. Exit status: 0 if
the mAP50-95 differs by at most the limit, or if this machine has no pictures; 1 if it differs by more; 2 if it cannot
be measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import environment, through_socket
from .agreement import agree
from .coco import DATA, LabelledPicture, Precision, Predictions, read

ROOT = Path(__file__).resolve().parents[2]
IOU, MAX_DETECTIONS, LEAST_CONFIDENCE = 0.7, 300, 0.001
"""Ultralytics' settings for measuring mAP."""
SHOWN_CONFIDENCE = 0.25
"""The default confidence for display; agreement is measured on boxes of at least this confidence."""
SETTINGS = {
    "model.iou": str(IOU),
    "model.max_detections": str(MAX_DETECTIONS),
    "engine.precision": "f32",
    "cache.enabled": "false",
    "governor.enabled": "false",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=_path, default=DATA / "coco64", help="images/ and labels/ (default: %(default)s)"
    )
    parser.add_argument(
        "--onnx", type=_path, default=ROOT / "models/yolo11n/source.onnx", help="the ONNX file of the model"
    )
    parser.add_argument(
        "--environment", type=_path, default=ROOT / ".cache/eval-venv", help="created if it does not exist"
    )
    parser.add_argument("--out", type=_path, default=ROOT / "build/evaluation.json")
    parser.add_argument("--limit", type=float, default=0.5, help="largest difference in mAP50-95, points of 100")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting of the appliance"
    )
    args = parser.parse_args()
    pictures = read(args.data)
    if not pictures:
        print(f"eval: skipped, no pictures in {args.data}/images. Choose a folder with --data")
        return 0
    if not args.onnx.exists():
        print(f"eval: {args.onnx} does not exist. Download it: python -m appliance model fetch --force --keep-source")
        return 2
    settings = SETTINGS | dict(item.split("=", 1) for item in args.set)
    try:
        report = evaluate(pictures, args.data, args.onnx, args.environment, settings, args.out.parent / "evaluation")
    except (RuntimeError, subprocess.CalledProcessError) as error:
        print(f"eval: {error}")
        return 2
    report |= {"limit_points": args.limit, "passed": abs(report["difference_points"]["rect"]) <= args.limit}
    args.out.write_text(json.dumps(report, indent=1) + "\n")
    _print(report, args.out)
    return 0 if report["passed"] else 1


def evaluate(
    pictures: list[LabelledPicture], data: Path, onnx: Path, venv: Path, settings: dict[str, str], work: Path
) -> dict[str, Any]:
    """Run both predictors and compare their detections, which are kept in `work`.

    Raises RuntimeError if the appliance fails, CalledProcessError if Ultralytics does.
    """
    work.mkdir(parents=True, exist_ok=True)
    python = environment.ensure(venv)
    files = {name: work / f"{name}.json" for name in ("socket", "rect", "square")}
    print(f"eval: sending {len(pictures)} pictures through the socket", flush=True)
    with through_socket.appliance(ROOT, settings, work / "appliance.log") as url:
        ours = asyncio.run(through_socket.detect(url, pictures, LEAST_CONFIDENCE))
    files["socket"].write_text(json.dumps(ours))
    for name in ("rect", "square"):
        print(f"eval: running Ultralytics' predictor, {name} input", flush=True)
        _run_ultralytics(python, data, onnx, files[name], square=name == "square")
    found: dict[str, Predictions] = {name: json.loads(file.read_text()) for name, file in files.items()}
    return _report(pictures, found, _score(python, data, files), settings)


def _path(text: str | Path) -> Path:
    return Path(text).resolve()  # child processes run in ROOT, not in the current directory


def _run_ultralytics(python: Path, data: Path, onnx: Path, out: Path, square: bool) -> None:
    options = ["--data", data, "--onnx", onnx, "--out", out, "--iou", IOU, "--max-detections", MAX_DETECTIONS]
    options += ["--conf", LEAST_CONFIDENCE, *(["--square"] if square else [])]
    _in_environment(python, "tests.evaluation.ultralytics_predictor", *map(str, options))


def _score(python: Path, data: Path, files: dict[str, Path]) -> dict[str, Precision]:
    answer = _in_environment(python, "tests.evaluation.coco", str(data), *map(str, files.values()))
    by_file: dict[str, Precision] = json.loads(answer)
    return {name: by_file[str(file)] for name, file in files.items()}


def _in_environment(python: Path, module: str, *options: str) -> str:
    environ = {**os.environ, "YOLO_CONFIG_DIR": str(python.parents[1])}
    command = [str(python), "-m", module, *options]
    return subprocess.run(command, check=True, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True).stdout


def _report(
    pictures: list[LabelledPicture],
    found: dict[str, Predictions],
    precisions: dict[str, Precision],
    settings: dict[str, str],
) -> dict[str, Any]:
    ours = found["socket"]
    references = {name: found[name] for name in ("rect", "square")}
    difference = {name: 100 * (precisions["socket"]["map50_95"] - precisions[name]["map50_95"]) for name in references}
    return {
        "difference_points": difference,
        "pictures": len(pictures),
        "objects": sum(len(picture.objects) for picture in pictures),
        "by": {name: predictions["by"] for name, predictions in found.items()},
        "precision": precisions,
        "same_input_size": {name: _same_sizes(ours, other) for name, other in references.items()},
        "agreement": {
            name: {
                "theirs_in_ours": asdict(agree(other["dets"], ours["dets"], SHOWN_CONFIDENCE)),
                "ours_in_theirs": asdict(agree(ours["dets"], other["dets"], SHOWN_CONFIDENCE)),
            }
            for name, other in references.items()
        },
        "settings": {**settings, "min_confidence": LEAST_CONFIDENCE},
    }


def _same_sizes(ours: Predictions, theirs: Predictions) -> int:
    return sum(theirs["input_sizes"][image_id] == size for image_id, size in ours["input_sizes"].items())


def _print(report: dict[str, Any], out: Path) -> None:
    precision: dict[str, Precision] = report["precision"]
    print(f"\n{report['pictures']} pictures, {report['objects']} objects; points of 100")
    print(f"{'':34}{'mAP50-95':>9}{'mAP50':>8}{'difference':>11}{'same input':>12}")
    print(f"{'appliance, through its socket':34}{_points(precision['socket'])}")
    for name, title in (("rect", "Ultralytics, default (rect)"), ("square", "Ultralytics, 640x640")):
        same = f"{report['same_input_size'][name]} of {report['pictures']}"
        print(f"{title:34}{_points(precision[name])}{report['difference_points'][name]:+11.2f}{same:>12}")
    print(
        f"\n{f'boxes with confidence >= {SHOWN_CONFIDENCE}':33}{'boxes':>6}{'IoU >= .9':>11}{'IoU >= .5':>11}", end=""
    )
    print("  |confidence difference|, median")
    for name in ("rect", "square"):
        both: dict[str, Any] = report["agreement"][name]
        _print_agreement(f"Ultralytics' ({name}) in ours", both["theirs_in_ours"])
        _print_agreement(f"ours in Ultralytics' ({name})", both["ours_in_theirs"])
    verdict = "within" if report["passed"] else "OUTSIDE"
    print(
        f"\nmAP50-95 differs by {report['difference_points']['rect']:+.2f} points from Ultralytics' predictor: "
        f"{verdict} the limit of {report['limit_points']} ({out})"
    )


def _points(precision: Precision) -> str:
    return f"{100 * precision['map50_95']:9.2f}{100 * precision['map50']:8.2f}"


def _print_agreement(title: str, shares: dict[str, Any]) -> None:
    median, largest = shares["median_score_difference"], shares["largest_score_difference"]
    differences = f"  {median:.5f}, at most {largest:.3f}" if median is not None else ""
    print(f"{title:33}{shares['count']:>6}{shares['matched_90']:>11.1%}{shares['matched_50']:>11.1%}{differences}")
