"""The search for training settings with Ray Tune: trials, their MLflow runs, the report, and the winner's release."""
