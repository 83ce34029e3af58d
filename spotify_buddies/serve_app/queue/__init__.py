"""Recommendation jobs through a broker: producers submit, workers answer, Redis keeps the answers (docs/daily.md)."""
