"""Recommend jobs through a broker: submitted by producers, ranked by workers, answers kept in Redis (docs/daily.md)."""
