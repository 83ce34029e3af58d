"""Slices of the usual form read as bytes: where tracks and their names stand, and names to codes."""
