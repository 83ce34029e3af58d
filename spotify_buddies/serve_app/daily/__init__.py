"""Lists of the day: precomputed for all users into Redis, read back under a budget (docs/daily.md)."""
