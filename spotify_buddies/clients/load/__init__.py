"""`buddies load`: a running service under load, measured without coordinated omission."""
