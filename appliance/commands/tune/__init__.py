"""`appliance tune`: measure what can run on this device, and activate the fastest model that detects the same."""
