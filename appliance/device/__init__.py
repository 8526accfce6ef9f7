"""The machine under the service: its sensors and its service manager."""
