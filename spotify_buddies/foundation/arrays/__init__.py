"""Row and id arrays: CSR matrices, strings and their look-up, seeds, streams of random numbers."""
