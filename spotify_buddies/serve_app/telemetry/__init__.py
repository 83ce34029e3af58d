"""Counters, latencies and logs, without what identifies listeners or opens stores."""
