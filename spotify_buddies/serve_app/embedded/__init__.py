"""Real servers from wheels, for those who bring none: Postgres, a Redis-compatible server, and MLflow on SQLite."""

from spotify_buddies.serve_app.embedded.cache import valkey
from spotify_buddies.serve_app.embedded.database import COMPLETE, postgres
from spotify_buddies.serve_app.embedded.services import start_services

__all__ = ["COMPLETE", "postgres", "start_services", "valkey"]
