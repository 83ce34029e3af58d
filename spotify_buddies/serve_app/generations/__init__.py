"""Generations: what replicas shall serve and what they do serve, as rows in Postgres."""
