"""What happens in front of cameras: objects that come, move between zones, and leave."""
