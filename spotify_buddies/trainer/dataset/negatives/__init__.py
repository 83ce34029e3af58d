"""Parts 8 and 9: the negatives that a user's likes are compared with."""
