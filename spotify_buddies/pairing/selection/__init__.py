"""Selection of neighbours among the nearest users, and of the playlists that they bring."""
