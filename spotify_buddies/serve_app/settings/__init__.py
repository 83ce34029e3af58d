"""Settings of the serving commands."""
