"""Generations: the versions that replicas are to serve and those that they do serve, as rows in Postgres."""
