"""The machine's sensors, one file for each group."""
