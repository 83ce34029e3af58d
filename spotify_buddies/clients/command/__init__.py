"""The `buddies` command: settings, calls, demo, doctor, and how commands reach the service."""
