"""A network's raw outputs -> detections.

A *head* says how its rows are read (`HEADS`), a *task* what comes with each box (`TASKS`); `Reader` puts both together.
"""

from appliance.vision.heads.heads import HEADS, head_of
from appliance.vision.heads.reader import TASKS, Reader

__all__ = ["HEADS", "TASKS", "Reader", "head_of"]
