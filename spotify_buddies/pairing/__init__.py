"""Neighbours of every user, and the playlists that they bring."""
