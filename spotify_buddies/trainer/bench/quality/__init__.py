"""How well playlists are ranked on a public split of real follows, beside what others would rank them with."""
