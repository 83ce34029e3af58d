"""Gates: whether a canary goes on, waits, goes back, or becomes production, and with which figures."""
