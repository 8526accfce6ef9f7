"""The machine that runs the service: sensors, control groups, state folder, log and service manager."""
