"""`make fuzz`: mutated inputs for every door, a million of them. See docs/hardening.md."""
