"""TLS: the device's certificate, the server's side of a handshake, and how a client recognises the device."""
