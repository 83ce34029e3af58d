"""Real servers from wheels, used where none is configured: Postgres, a Redis-compatible server, MLflow on SQLite."""

from spotify_buddies.serve_app.embedded.cache import valkey
from spotify_buddies.serve_app.embedded.database import COMPLETE, postgres
from spotify_buddies.serve_app.embedded.services import start_services

__all__ = ["COMPLETE", "postgres", "start_services", "valkey"]
