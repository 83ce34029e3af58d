"""Data set to registered version: train, evaluate, compute the parts of the bundle, register."""
