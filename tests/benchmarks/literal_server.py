"""A minimal implementation of the service: the baseline of literal.py.

Flask-SocketIO in threads, `YOLO('yolo26n.pt')` called in the handler, base64 text. Runs in the environment of
tests/evaluation, never in the appliance's own. Usage: literal_server.py WEIGHTS PORT [LOWEST-CONFIDENCE]
"""

# mypy: ignore-errors

from __future__ import annotations

import base64
import sys
import time

import cv2
import numpy as np
from flask import Flask
from flask_socketio import SocketIO, emit
from ultralytics import YOLO

app = Flask(__name__)
socketio = SocketIO(app, async_mode="threading", cors_allowed_origins="*", max_http_buffer_size=10_000_000)
model = YOLO(sys.argv[1])
lowest = float(sys.argv[3]) if len(sys.argv) > 3 else 0.25  # Ultralytics' default
# On the CPU the warm-up is nothing but `import torchvision`, which this environment does without.
model.add_callback("on_predict_start", lambda predictor: setattr(predictor, "done_warmup", True))


@socketio.on("connect")
def connect():
    emit("connected", {"status": "connected", "compression": True})


@socketio.on("process_frame")
def process_frame(data):
    started = time.time()
    try:
        image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        result = model(image, conf=lowest, verbose=False)[0]
        emit("detection_results", {"detections": result.summary(), "processing_time": time.time() - started})
    except Exception as error:  # noqa: BLE001  # the literal version would
        emit("detection_error", {"error": str(error)})


if __name__ == "__main__":
    model(np.zeros((720, 1280, 3), np.uint8), verbose=False)
    print("ready", flush=True)
    socketio.run(app, host="127.0.0.1", port=int(sys.argv[2]), allow_unsafe_werkzeug=True)
