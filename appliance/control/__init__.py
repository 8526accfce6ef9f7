"""The local control socket: the server's side, the client's side, and where the socket is."""
