"""Record the results of other implementations for raw YOLOX and PicoDet outputs, for test_against_others.py.

Runs in the environment that tests/evaluation creates, with two wheels unpacked on PYTHONPATH, pixeltable-yolox 0.4.3
(Megvii's YOLOX) and rapid-layout 0.2.1 (a reader for PaddleDetection's PicoDet), both Apache-2.0, and with loguru and
tabulate: `python -m tests.vision.other_results FILE.npz`. The YOLOX head is Megvii's with untrained weights. The
PicoDet outputs are random, with one class of sufficient confidence in each cell, because the other reader counts a cell
for each class.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch  # type: ignore[import-not-found, unused-ignore]  # only in that environment

CLASSES, LEAST, IOU = 3, 0.3, 0.45
INPUT = (64, 96)
"""Height and width; 64 px are two cells of PicoDet's coarsest grid across and one down."""


def batched_nms(boxes: Any, scores: Any, classes: Any, iou: float) -> Any:
    """Replaces torchvision's function, which YOLOX calls and which has no build for that environment."""
    left, kept = scores.argsort(descending=True).tolist(), []
    rows = [[number, *box] for number, box in zip(classes.tolist(), boxes.tolist(), strict=True)]
    while left:
        one = left.pop(0)
        kept.append(one)
        left = [other for other in left if rows[other][0] != rows[one][0] or overlap(rows[one], rows[other]) <= iou]
    return torch.tensor(kept, dtype=torch.long)


def overlap(one: list[float], other: list[float]) -> float:
    _, *one = one
    _, *other = other
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


def yolox() -> dict[str, Any]:
    torchvision = ModuleType("torchvision")
    torchvision.ops = ModuleType("torchvision.ops")  # type: ignore[attr-defined]
    torchvision.ops.batched_nms = batched_nms
    sys.modules["torchvision"], sys.modules["torchvision.ops"] = torchvision, torchvision.ops
    from yolox.models.yolo_head import YoloxHead  # type: ignore[import-not-found, unused-ignore]
    from yolox.utils.boxes import postprocess  # type: ignore[import-not-found, unused-ignore]

    torch.manual_seed(7)
    head = YoloxHead(CLASSES, width=0.25, depthwise=True).eval()
    for module in head.modules():
        if isinstance(module, torch.nn.Conv2d):  # the initial weights give the same output everywhere
            torch.nn.init.normal_(module.weight, std=2 / module.weight[0].numel() ** 0.5)
    for predictor in head.reg_preds:
        torch.nn.init.normal_(predictor.weight, std=0.02)  # sizes are exponentials of the output
    levels = [
        torch.randn(1, channels, INPUT[0] // stride, INPUT[1] // stride)
        for channels, stride in ((64, 8), (128, 16), (256, 32))
    ]
    with torch.no_grad():
        head.decode_in_inference = False
        raw = head(levels)
        head.decode_in_inference = True
        decoded = head(levels)
        (found,) = postprocess(decoded.clone(), CLASSES, LEAST, IOU)
    rows = torch.cat((found[:, 6:], found[:, 4:5] * found[:, 5:6], found[:, :4]), dim=1)
    return {"yolox/raw0": raw[0].numpy(), "yolox/decoded": decoded[0].numpy(), "yolox/rows": rows.numpy()}


def picodet() -> dict[str, Any]:
    file = next(found for place in sys.path if (found := Path(place, "rapid_layout/utils/post_prepross.py")).exists())
    spec = importlib.util.spec_from_file_location("post_prepross", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    draw = np.random.default_rng(7)
    cells = [-(-INPUT[0] // stride) * -(-INPUT[1] // stride) for stride in (8, 16, 32, 64)]
    scores = [draw.random((1, count, CLASSES), np.float32) * LEAST for count in cells]
    for level in scores:
        at = draw.integers(0, CLASSES, level.shape[1])
        level[0, np.arange(level.shape[1]), at] = draw.random(level.shape[1])
    distances = [draw.normal(0, 3, (1, count, 32)).astype(np.float32) for count in cells]
    reader = module.PPPostProcess([str(number) for number in range(CLASSES)], LEAST, IOU)
    boxes, confidences, names = reader(INPUT, np.zeros((1, 3, *INPUT)), [*scores, *distances])
    rows = np.concatenate((names.astype(np.float32)[:, None], confidences[:, None], boxes), axis=1)
    raw = {f"picodet/raw{number}": one[0] for number, one in enumerate([*scores, *distances])}
    return raw | {"picodet/rows": rows[np.argsort(-rows[:, 1], kind="stable")]}


if __name__ == "__main__":
    recorded = yolox() | picodet()
    print({name: array.shape for name, array in recorded.items()})
    np.savez_compressed(sys.argv[1], **recorded)
