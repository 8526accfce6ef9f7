"""Pictures for the benchmark of the scene gate: places, objects, weather, and cameras, drawn at random from a seed."""
