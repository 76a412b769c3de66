"""OpenIGTLink: messages, the protocol without I/O, a client and a server that need no thread."""
