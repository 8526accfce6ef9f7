"""Convert a network's raw outputs to detections.

A *head* defines how the outputs are decoded (`HEADS`), a *task* what belongs to each box (`TASKS`). `Reader` combines
both.
"""

from appliance.vision.heads.heads import HEADS, head_of
from appliance.vision.heads.reader import TASKS, Reader

__all__ = ["HEADS", "TASKS", "Reader", "head_of"]
