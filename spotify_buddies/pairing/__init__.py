"""Who is near whom, and whose playlists that brings. Also the array and stage formats that every package reads."""
