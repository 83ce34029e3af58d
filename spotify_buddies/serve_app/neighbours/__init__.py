"""The neighbour search at serving time: what an index replica holds, and how the ranker asks it."""
