"""Tracked 2D sweeps: their files, the frames they are counted in, and the volumes that are made of them."""
