"""YOLO11n on LitServe with pre-processing written by hand: the rival of lightning.py.

One worker, OpenVINO, the input at the size that the appliance uses for a 16:9 camera, and boxes after NMS. Runs with
LitServe on its path, never in the appliance's own environment. Usage: lightning_server.py MODEL.xml PORT
"""

# mypy: ignore-errors

from __future__ import annotations

import sys

import cv2
import litserve
import numpy as np
import openvino

WIDTH, HEIGHT = 640, 384
LEAST_CONFIDENCE, LEAST_IOU = 0.25, 0.45


class Detect(litserve.LitAPI):
    """A picture in, boxes out."""

    def setup(self, device):
        core = openvino.Core()
        model = core.read_model(sys.argv[1])
        model.reshape([1, 3, HEIGHT, WIDTH])
        self.compiled = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
        self.compiled(np.zeros((1, 3, HEIGHT, WIDTH), np.float32))

    def decode_request(self, request):
        return request["picture"].file.read()

    def predict(self, data):
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        scale = min(WIDTH / pixels.shape[1], HEIGHT / pixels.shape[0])
        width, height = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
        left, top = (WIDTH - width) // 2, (HEIGHT - height) // 2
        tensor = np.full((HEIGHT, WIDTH, 3), 114, np.uint8)
        tensor[top : top + height, left : left + width] = cv2.resize(pixels, (width, height))
        tensor = np.ascontiguousarray(tensor[None, :, :, ::-1].transpose(0, 3, 1, 2), np.float32) / 255
        found = self.compiled(tensor)[0][0].T
        scores = found[:, 4:]
        classes = scores.argmax(1)
        best = scores[np.arange(len(scores)), classes]
        sure = best >= LEAST_CONFIDENCE
        found, classes, best = found[sure], classes[sure], best[sure]
        boxes = np.column_stack((found[:, 0] - found[:, 2] / 2, found[:, 1] - found[:, 3] / 2, found[:, 2:4]))
        kept = cv2.dnn.NMSBoxesBatched(boxes, best, classes, LEAST_CONFIDENCE, LEAST_IOU)
        offset = np.array([left, top, 0, 0])
        return [(int(classes[k]), float(best[k]), ((boxes[k] - offset) / scale).tolist()) for k in np.ravel(kept)]

    def encode_response(self, found):
        return {"detections": [{"class": c, "confidence": s, "box": box} for c, s, box in found]}


if __name__ == "__main__":
    server = litserve.LitServer(Detect(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="error")
