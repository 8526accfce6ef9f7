"""INT8: a model made smaller, if it still sees as well; `quantize.py` is the way in."""
