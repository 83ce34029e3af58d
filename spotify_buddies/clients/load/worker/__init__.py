"""A client process of `buddies load`: it sends calls, times them and counts what came back."""
