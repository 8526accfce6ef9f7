"""The checks, in files by subject; `health/catalogue.py` lists them all."""
