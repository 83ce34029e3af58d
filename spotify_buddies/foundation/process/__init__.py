"""One process among others on a machine."""
