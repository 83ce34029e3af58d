"""Data plane of the rollout: the versions a replica holds, and which of them answers whom."""
