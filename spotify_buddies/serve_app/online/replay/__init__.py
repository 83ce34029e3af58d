"""A list that was shown, computed again from its version's bundle."""
