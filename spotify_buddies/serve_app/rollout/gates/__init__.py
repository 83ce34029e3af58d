"""Gates: the verdict on a canary (advance, hold, roll back or promote) and its figures."""
