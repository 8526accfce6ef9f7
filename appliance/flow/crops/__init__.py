"""Inference on parts of a picture at the camera's own detail, where its scene moves.

`choose` decides what to look at, `merge` combines what was found, `crops` remembers both for each camera.
"""
