"""`appliance bench`: measure how many frames per second this device processes, on the path of camera frames."""
