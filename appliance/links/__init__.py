"""Links to other systems on the site: MQTT with Home Assistant, webhooks."""
