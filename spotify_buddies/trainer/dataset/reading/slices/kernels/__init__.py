"""Compiled loops over the bytes of slices."""
