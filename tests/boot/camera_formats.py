"""A program for a machine with a webcam: take the same picture in each raw format, as JPEG, and decode it.

`python camera_formats.py /dev/video0 yuyv422 nv12 …` prints `format width height red green blue`, with mean colours.
"""

import sys

from appliance.camera.sources.pyav import open_container, read_frames, webcam
from appliance.values import CameraLimits
from appliance.vision.decode import decode, read_header

LIMITS = CameraLimits(0.0, 320, 90, "normal")

for form in sys.argv[2:]:
    container = open_container(webcam(sys.argv[1], LIMITS, form))
    frame = next(read_frames(container))
    picture = read_header(frame.to_jpeg(LIMITS), 10**8)
    container.close()
    print(form, picture.size.width, picture.size.height, *(f"{mean:.0f}" for mean in decode(picture).mean((0, 1))))
