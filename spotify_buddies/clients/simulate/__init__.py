"""`buddies simulate`: users with a taste of their own, so that a good model earns more likes than a bad one."""
