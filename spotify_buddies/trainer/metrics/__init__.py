"""Ranking metrics: where a scorer puts the held-out playlist, and how much of the catalogue it shows."""
