"""A program that connects to the device repeatedly, as cameras do that have lost it: a new connection for each request.

It runs in the container until SIGTERM, and then prints its counts as JSON.
"""

import json
import signal
import socket
import sys
import time
from types import FrameType

_REQUEST = b"GET /health/live HTTP/1.1\r\nHost: device\r\nConnection: close\r\n\r\n"


def main() -> None:
    ended = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    calls, refused, longest_s = 0, [], 0.0
    while not ended:
        started_s = time.monotonic()
        try:
            with socket.create_connection(("127.0.0.1", 8080), timeout=60) as connection:
                connection.sendall(_REQUEST)
                answer = connection.recv(100)
            if not answer.startswith(b"HTTP/1.1 200"):
                refused.append(answer.decode(errors="replace"))
        except OSError as error:
            refused.append(str(error))
        calls += 1
        longest_s = max(longest_s, time.monotonic() - started_s)
        if calls == 1:
            print("calling", flush=True)
        time.sleep(0.01)
    json.dump({"calls": calls, "refused": refused, "longest_s": round(longest_s, 2)}, sys.stdout)


if __name__ == "__main__":
    main()
