"""A world that changes from week to week, and visits of the people in it."""
