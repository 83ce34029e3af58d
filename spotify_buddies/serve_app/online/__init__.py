"""What the store says of what was shown: like rates, estimates, drift. The views of migration 0007 are its contract."""
