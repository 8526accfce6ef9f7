"""`appliance backup` and `appliance restore`: one encrypted file with what makes this device itself."""
