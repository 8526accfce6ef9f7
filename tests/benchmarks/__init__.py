"""Claims of speed and memory, each printed as a ratio measured side by side in one run."""
