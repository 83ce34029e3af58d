"""Whether a folder of raw files can be used: what each file holds, what is left out and why, and whether all fits."""
