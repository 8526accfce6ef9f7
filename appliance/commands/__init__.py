"""What the commands do that need no running service, or only speak to one."""
