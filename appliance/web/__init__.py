"""The network side: Socket.IO, HTTP and the page."""
