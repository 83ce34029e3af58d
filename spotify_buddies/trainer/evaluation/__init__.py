"""Evaluation of models: baselines, and the protocols that ask for held-out playlists."""
