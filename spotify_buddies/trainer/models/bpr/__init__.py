"""Bayesian Personalized Ranking: updates of user and playlist factors by numba, torch or a CUDA device."""
