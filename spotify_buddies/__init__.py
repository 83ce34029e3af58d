"""Organic playlist recommendations: playlists made by people whose taste is near yours, served over gRPC."""
