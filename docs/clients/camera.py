"""A minimal camera in Python: pip install 'python-socketio[client]', then
python camera.py http://127.0.0.1:8080 gate picture.jpg [token]"""

import sys
import time
from urllib.parse import quote

import socketio

url, name, path = sys.argv[1:4]
token = {"token": sys.argv[4]} if len(sys.argv) > 4 else {}
client = socketio.SimpleClient()
moved, number = "", 0
while True:
    if not client.connected:  # at first, and when this device of a site sends the camera to another one
        place, moved = f"{url}?camera={quote(name)}{moved}", ""
        client.connect(place, auth={"name": name, **token}, transports=["websocket"])
        limits = client.receive()[1]["limits"]
    number, sent_at = number + 1, time.monotonic()
    with open(path, "rb") as file:  # take a picture here, no larger than limits["max_side"]
        client.emit("process_frame", {"image": file.read(), "frame_id": number, "captured_at": time.time()})
    event, payload = "", {}
    while payload.get("frame_id") != number and event != "connected":
        event, payload = client.receive()  # `connected` again: the answer was lost with the former connection
        limits = payload if event == "limits" else payload.get("limits", limits)
        moved = f"&moved={payload['moved']}" if event == "moved" else moved
    print(event, [(one["name"], round(one["confidence"], 2)) for one in payload.get("detections", [])], flush=True)
    pause = max(limits["min_interval"] - (time.monotonic() - sent_at), payload.get("retry_after") or 0)
    time.sleep(max(0, pause))
    if moved:
        client.disconnect()
