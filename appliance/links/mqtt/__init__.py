"""The link to an MQTT broker, and discovery by Home Assistant."""
