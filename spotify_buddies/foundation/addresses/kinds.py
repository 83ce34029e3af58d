"""The kinds of addresses, by what they lead to."""

from __future__ import annotations

from enum import StrEnum

from spotify_buddies.foundation.addresses import mlflow, postgres, redis
from spotify_buddies.foundation.addresses.address import MASK, Address, AddressError


class AddressKind(StrEnum):
    """What an address leads to."""

    POSTGRES = "postgres"
    REDIS = "redis"
    MLFLOW = "mlflow"


_PARSERS = {AddressKind.POSTGRES: postgres.parse, AddressKind.REDIS: redis.parse, AddressKind.MLFLOW: mlflow.parse}


def parse(text: str, kind: AddressKind) -> Address:
    """Check an address and take it apart. AddressError: the rule that it breaks, never a part of it."""
    return _PARSERS[kind](text)


def masked(text: str, kind: AddressKind | None = None) -> str:
    """An address for people, without its passwords. One that cannot be read is not shown at all.

    kind: None finds it by the scheme; without one it is a Postgres key=value string, or a folder of MLflow's.
    """
    for one in [kind] if kind else _likely(text):
        try:
            return parse(text, one).shown
        except AddressError:
            continue
    return MASK


def _likely(text: str) -> tuple[AddressKind, ...]:
    scheme, separator, _ = text.partition("://")
    if separator and scheme in redis.SCHEMES:
        return (AddressKind.REDIS,)
    if separator and scheme in postgres.SCHEMES:
        return (AddressKind.POSTGRES,)
    return (AddressKind.MLFLOW,) if separator else (AddressKind.POSTGRES, AddressKind.MLFLOW)
