"""Parts 6 and 7: the split of the likes, and the owners of the playlists."""
