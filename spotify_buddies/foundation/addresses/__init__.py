"""Addresses of stores and registries: checked before a library sees them, shown without what they keep secret."""

from spotify_buddies.foundation.addresses.address import Address, AddressError
from spotify_buddies.foundation.addresses.kinds import AddressKind, masked, parse
from spotify_buddies.foundation.addresses.scrub import scrubbed

__all__ = ["Address", "AddressError", "AddressKind", "masked", "parse", "scrubbed"]
