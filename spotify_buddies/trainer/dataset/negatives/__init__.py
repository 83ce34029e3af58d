"""Parts 8 and 9: what a user's likes are compared with."""
