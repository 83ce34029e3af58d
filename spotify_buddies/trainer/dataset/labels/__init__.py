"""Parts 6 and 7: what a user's likes are used for, and who owns what."""
