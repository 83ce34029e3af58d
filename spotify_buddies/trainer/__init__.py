"""From raw files to a registered model version."""
