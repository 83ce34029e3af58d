"""Song sets beside all users at once: counters of one byte, read by the word."""
