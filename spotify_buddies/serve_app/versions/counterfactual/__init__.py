"""Counterfactuals: which songs of a listener, left out, would drop a playlist from the list; found by ranking again."""
