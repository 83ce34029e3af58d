"""Drills of the rollout: versions come and go under traffic, and go wrong."""
