"""One device of several: what it reports to the front, which cameras move, and what devices send each other."""
