"""The command line `crlm-seg`: one file a command."""
