"""Streams of random numbers by row, for compiled loops."""
