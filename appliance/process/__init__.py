"""The process: what the service manager, a signal or a changed file asks of the service, and what it is told."""
