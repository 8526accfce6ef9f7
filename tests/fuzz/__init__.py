"""`make fuzz`: a million mutated inputs for every parser. See docs/hardening.md."""
