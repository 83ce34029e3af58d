"""`buddies load`: what a running service does under load, measured without coordinated omission."""
