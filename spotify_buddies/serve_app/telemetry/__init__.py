"""Counters, latencies and logs, without what identifies users or opens stores."""
