"""Part 8 of real follows: uniform negatives, and what users dislike as the hard ones."""
