"""Training that goes on from a version that serves, with its likes beside new ones."""
