"""The command line `crlm-seg`, with one module for each command."""

__all__ = ["main"]
