"""`make attack`: hostile clients against the real service while four good cameras push. See docs/hardening.md."""
