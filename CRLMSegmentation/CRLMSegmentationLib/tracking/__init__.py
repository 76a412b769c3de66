"""Poses, sweeps, and what the distance of an instrument is worth: valid or not, and within which interval."""
