"""The `buddies` command and what talks to the service from outside."""
