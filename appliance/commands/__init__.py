"""The work of the commands that run without the service, or talk to it over the control socket."""
