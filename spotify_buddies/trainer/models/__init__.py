"""User and playlist factors: the training loop, and the models behind its seam."""
