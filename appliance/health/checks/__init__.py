"""The checks, one file per subject; `health/catalogue.py` lists them all."""
