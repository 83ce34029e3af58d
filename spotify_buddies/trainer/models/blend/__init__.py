"""The blend: scores of several models and of popularity added up, with weights that held-out likes are asked for."""
