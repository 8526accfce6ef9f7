"""`make site-test`: a real HAProxy, three devices with fake engines, and cameras, while devices fail."""
