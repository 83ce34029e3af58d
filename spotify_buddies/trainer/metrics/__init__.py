"""Ranking metrics: the rank of the held-out playlist, and the share of the catalogue that is shown."""
