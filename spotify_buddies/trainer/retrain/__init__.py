"""A window of feedback becomes training data, and a version that was judged."""
