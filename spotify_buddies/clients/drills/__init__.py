"""Game days: a part of the running service is broken on purpose, under traffic, and what callers noticed is counted."""
