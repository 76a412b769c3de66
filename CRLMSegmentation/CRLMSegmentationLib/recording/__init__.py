"""Plays recorded cases over OpenIGTLink, as PLUS would have sent them."""
