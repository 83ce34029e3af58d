"""Game days: break a part of the running service on purpose, under traffic, and count what callers noticed."""
