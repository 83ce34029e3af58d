"""What models are worth: metrics, baselines, and the protocols that ask for held-out playlists."""
