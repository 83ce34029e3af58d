"""Online evaluation: what a version is worth by what listeners did, with intervals. Reads the `online_` views alone."""
