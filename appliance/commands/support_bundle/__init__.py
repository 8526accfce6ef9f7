"""One file for whoever helps: what the device reports about itself, without its secrets."""
