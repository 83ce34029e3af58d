"""Settings of pairing."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PairingSettings(BaseModel):
    """The [pairing] section of buddies.toml; from `nearest` to `few_candidates` as published."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(42, description="seed of the visiting order and of the candidate sample")
    nearest: int = Field(100, ge=1, le=10_000, description="nearest users that are looked at")
    neighbours: int = Field(50, ge=1, le=10_000, description="neighbours kept, of those who own playlists")
    min_playlists: int = Field(20, ge=0, description="take more than `neighbours` until they bring this many playlists")
    candidates: int = Field(
        75, ge=1, le=10_000, description="candidate playlists per user, sampled when there are more"
    )
    few_candidates: int = Field(
        5, ge=0, description="users with fewer candidates get a wider search; if still too few, they count as cold"
    )
    widened_nearest: int = Field(
        1_000, ge=1, le=100_000, description="nearest users that are looked at for users with few candidates"
    )
    block_users: int = Field(4_096, ge=1, description="users per block; bounds memory, changes nothing else")
    dimension: int = Field(256, ge=8, description="dimensions of the FAISS vectors")
    index_songs: int = Field(100_000, ge=1, description="most heard songs that the FAISS vectors are made from")
    search_breadth: int = Field(1_000, ge=1, description="users that FAISS proposes for exact re-ranking")
    exact_work: int = Field(
        20_000_000,
        ge=0,
        description="most listeners that the songs of a taste may have in total for an exact answer, which takes about "
        "1 ns a listener; a taste of more goes through FAISS",
    )
