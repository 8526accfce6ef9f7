"""What the device knows about its own state: collected from the parts, and given to every reader as values."""
