"""Control plane of the rollout: which version shall serve, and whether it stays."""
