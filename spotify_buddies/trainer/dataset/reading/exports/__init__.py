"""Exports of people's music services and players, one module a format: listens and playlists of one user each."""
