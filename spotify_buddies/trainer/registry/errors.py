"""Errors of the registry."""

from __future__ import annotations


class RegistryError(Exception):
    """The registry has no such thing, or refuses; the message names model and alias or version, and what to do."""


class RegistryUnavailable(RegistryError):
    """The registry did not answer within its time, or failed. What is loaded can continue to serve."""
