"""Drift: whether what is asked, shown and liked still is what the serving version was trained on, and as last week."""
