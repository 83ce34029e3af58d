"""Lists of the day: every listener scored ahead into Redis, read back under a budget (docs/daily.md)."""
