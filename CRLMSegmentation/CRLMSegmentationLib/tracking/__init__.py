"""What a surgeon steers by: where the instruments are, how far from each tumour, and when not to trust it."""
