"""A program for NNCF's environment: quantize one network repeatedly.

Never import it: `nncf_process.py` starts it as `python nncf_worker.py NETWORK CALIBRATION`. It may import only numpy,
openvino and nncf. CALIBRATION is a folder of .npy files, each an input (height, width, 3), u8 RGB. The program writes
`{"operations": [[name, type], ...]}`, then answers each line `{"ignored": [names], "output": "model.xml"}` on standard
input with `{"output": ...}`.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino
from openvino._offline_transformations import apply_moc_transformations


def read_folded(network: str) -> Any:
    """Read the network, fold its shape arithmetic and fuse Sigmoid x Mul to Swish.

    Without this, NNCF puts a quantizer between the two, and each activation becomes a separate pass over memory:
    YOLO11n in INT8 at 640x640 is then as slow as in BF16; with it, a quarter faster. NNCF imports the same module.
    """
    model = openvino.Core().read_model(network)
    apply_moc_transformations(model, cf=True)
    return model


def quantize(network: str, calibration: str, ignored: list[str]) -> Any:
    files = sorted(Path(calibration).glob("*.npy"))

    def load(path: Path) -> Any:
        return np.load(path).transpose(2, 0, 1)[None].astype(np.float32) / 255

    return nncf.quantize(
        read_folded(network),
        nncf.Dataset(files, load),
        preset=nncf.QuantizationPreset.MIXED,  # Swish has negative values: asymmetric activations
        subset_size=len(files),
        ignored_scope=nncf.IgnoredScope(names=ignored, validate=False),
    )


def main(network: str, calibration: str) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # everything that NNCF prints goes to the log
    operations = [[op.get_friendly_name(), op.get_type_name()] for op in read_folded(network).get_ordered_ops()]
    print(json.dumps({"operations": operations}), file=answers)
    for line in sys.stdin:
        job = json.loads(line)
        openvino.save_model(quantize(network, calibration, job["ignored"]), job["output"], compress_to_fp16=True)
        print(json.dumps({"output": job["output"]}), file=answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
