"""One device of several: what the front is told, which cameras move, and what the devices tell each other."""
