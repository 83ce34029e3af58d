"""The neighbour search at serving time: the index of a replica, and the ranker's way to it."""
