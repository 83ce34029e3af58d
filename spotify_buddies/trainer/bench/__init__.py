"""The offline half, timed at one size beside the libraries that do the same work."""
