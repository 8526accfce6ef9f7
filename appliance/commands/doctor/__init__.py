"""`appliance doctor`: check this device and its installation, and say how to fix each failure."""
