"""`buddies simulate`: listeners who like what they like, so that a good model earns more likes than a bad one."""
