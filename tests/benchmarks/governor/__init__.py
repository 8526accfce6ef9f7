"""The governor on simulated boards and in simulated weather, beside its rivals and one that knows everything."""
