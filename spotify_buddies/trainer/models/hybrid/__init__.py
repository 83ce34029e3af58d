"""The hybrid model: user and playlist factors that are sums of song and artist factors and one of their own."""
