"""Bayesian personalised ranking: user and playlist factors, their training and their evaluation."""
