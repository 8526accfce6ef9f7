"""The running service: how it is built, changed while it runs, started and stopped."""
