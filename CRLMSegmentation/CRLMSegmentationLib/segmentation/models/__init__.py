"""Model packages: reading, packing, importing, and the registry of those that are installed."""
