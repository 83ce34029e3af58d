"""Synthetic users, songs and playlists, written in the formats of the real data."""
