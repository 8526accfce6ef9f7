"""A camera in a few lines of Python: pip install 'python-socketio[client]', then
python camera.py http://box:8080 gate picture.jpg"""

import sys
import time

import socketio

url, name, path = sys.argv[1:4]
token = {"token": sys.argv[4]} if len(sys.argv) > 4 else {}
box = socketio.SimpleClient()
box.connect(url, auth={"name": name, **token}, transports=["websocket"])
limits, number = box.receive()[1]["limits"], 0
while True:
    number, begun = number + 1, time.monotonic()
    with open(path, "rb") as file:  # here your camera takes a picture, no larger than limits["max_side"]
        box.emit("process_frame", {"image": file.read(), "frame_id": number, "captured_at": time.time()})
    event, answer = "", {}
    while event not in ("detection_results", "detection_error", "frame_skipped"):
        event, answer = box.receive()
        limits = answer if event == "limits" else limits
    print(event, [(one["name"], round(one["confidence"], 2)) for one in answer.get("detections", [])], flush=True)
    pause = max(limits["min_interval"] - (time.monotonic() - begun), answer.get("retry_after") or 0)
    time.sleep(max(0, pause))
