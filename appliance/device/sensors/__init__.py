"""What the machine can feel of itself, a file for each group of sensors."""
