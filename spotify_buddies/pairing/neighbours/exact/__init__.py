"""Exact answers to tastes: shared songs counted over song lists, the nearest found in one pass over the counters."""
