"""What a bundle says of its candidates, against the definitions; from bundles that lack this or that, too."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.trainer.bundle import Bundle, BundleError, BundleParts, open_bundle, write_bundle
from spotify_buddies.trainer.bundle.manifest import describe_files, read_manifest
from spotify_buddies.trainer.bundle.reasons import ARTISTS, NOT_SAID, OWNER, SONGS, TASTE, find_reasons

USERS, PLAYLISTS, SONG_COUNT = 40, 50, 60


@pytest.fixture
def drawn(bundle_parts: BundleParts) -> BundleParts:
    """Forty users with eighteen of fifty playlists each, in no order, and everything that reasons are found in."""
    rng = np.random.default_rng(5)

    def sets(rows: int, columns: int, most: int) -> Csr:
        chosen = [np.sort(rng.choice(columns, rng.integers(0, most), replace=False)) for _ in range(rows)]
        return Csr.from_rows(chosen, columns)

    owner = rng.integers(-1, USERS, PLAYLISTS).astype(np.int32)
    owner[::2] = -1
    return replace(
        bundle_parts,
        user_factors=rng.normal(size=(USERS, 2)).astype(np.float32),
        playlist_factors=rng.normal(size=(PLAYLISTS, 2)).astype(np.float32),
        candidates=Csr.from_rows([rng.choice(PLAYLISTS, 18, replace=False) for _ in range(USERS)], PLAYLISTS),
        user_songs=sets(USERS, SONG_COUNT, 7),
        owned=Csr.from_rows([np.flatnonzero(owner == user) for user in range(USERS)], PLAYLISTS),
        owner=owner,
        popular=np.arange(PLAYLISTS, dtype=np.int32),
        popular_scores=np.arange(PLAYLISTS, 0, -1).astype(np.float32),
        sketches=np.zeros((PLAYLISTS, 64), np.uint8),
        song_genres=np.full(SONG_COUNT, -1, np.int16),
        genre_popular=Csr(np.array([0, 0]), np.empty(0, np.int32), PLAYLISTS, np.empty(0, np.float32)),
        user_ids=[f"user-{user}" for user in range(USERS)],
        playlist_ids=[f"list-{playlist}" for playlist in range(PLAYLISTS)],
        playlist_titles=[""] * PLAYLISTS,
        song_titles=[f"Song {song}" for song in range(SONG_COUNT)],
        song_artists=["A"] * SONG_COUNT,
        playlist_songs=sets(PLAYLISTS, SONG_COUNT, 5),
        artist_rows=rng.integers(-1, 30, SONG_COUNT).astype(np.int32),
        followed=sets(USERS, PLAYLISTS, 12),
        co_followers=sets(USERS, USERS, 8),
    )  # fmt: skip


def plain(bundle: Bundle) -> list[int]:
    """The code of every candidate, as the definitions say."""
    said = []
    artist = None if bundle.artist_rows is None else bundle.artist_rows.tolist()
    for user in range(bundle.manifest.users):
        mine = set(bundle.user_songs.row(user).tolist())
        by = set() if artist is None else {artist[song] for song in mine} - {-1}
        for playlist in bundle.candidates.row(user).tolist():
            owner = int(bundle.owner[playlist])
            its = set() if bundle.playlist_songs is None else set(bundle.playlist_songs.row(playlist).tolist())
            people = [] if bundle.co_followers is None else bundle.co_followers.row(user).tolist()
            follow = sum(playlist in bundle.followed.row(one).tolist() for one in people)
            if owner >= 0 and mine & set(bundle.user_songs.row(owner).tolist()):
                said.append(OWNER)
            elif mine & its:
                said.append(SONGS)
            elif artist is not None and by & {artist[song] for song in its}:
                said.append(ARTISTS)
            else:
                said.append(ARTISTS + follow if follow else TASTE)
    return said


def test_every_candidate_has_the_first_of_its_reasons(drawn: BundleParts, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", drawn)
    assert bundle.candidate_reasons.tolist() == plain(bundle)
    seen = Counter(plain(bundle))
    assert min(seen[code] for code in (TASTE, OWNER, SONGS, ARTISTS, ARTISTS + 1, ARTISTS + 2)) > 5


@pytest.mark.parametrize(
    "missing", [("artist_rows",), ("followed", "co_followers"), ("playlist_songs",), ("artist_rows", "playlist_songs")]
)
def test_what_a_bundle_lacks_is_no_reason(drawn: BundleParts, tmp_path: Path, missing: tuple[str, ...]) -> None:
    bundle = write_bundle(tmp_path / "bundle", replace(drawn, **dict.fromkeys(missing)))
    assert bundle.candidate_reasons.tolist() == plain(bundle)


def test_of_more_followers_than_a_byte_holds_nothing_is_said(drawn: BundleParts, tmp_path: Path) -> None:
    users = 300
    rng = np.random.default_rng(1)
    made = replace(
        drawn,
        user_factors=rng.normal(size=(users, 2)).astype(np.float32),
        user_ids=[f"user-{user}" for user in range(users)],
        user_songs=Csr.from_rows([[]] * users, SONG_COUNT),
        candidates=Csr.from_rows([[0, 1, 2]] + [[]] * (users - 1), PLAYLISTS),
        owned=Csr.from_rows([[]] * users, PLAYLISTS),
        owner=np.full(PLAYLISTS, -1, np.int32),
        followed=Csr.from_rows([[0, 1] if user <= 251 else [0] for user in range(users)], PLAYLISTS),
        co_followers=Csr.from_rows([np.arange(1, users), *[[]] * (users - 1)], users),
    )
    bundle = write_bundle(tmp_path / "bundle", made)
    by_playlist = dict(zip(bundle.candidates.row(0).tolist(), bundle.candidate_reasons.tolist(), strict=True))
    assert by_playlist == {0: NOT_SAID, 1: ARTISTS + 251, 2: TASTE}


def test_blocks_of_users_change_nothing(drawn: BundleParts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = write_bundle(tmp_path / "bundle", drawn)
    monkeypatch.setattr("spotify_buddies.trainer.bundle.reasons.find._BLOCK", 3)
    assert find_reasons(bundle).tolist() == bundle.candidate_reasons.tolist()


def test_an_earlier_bundle_opens_and_says_nothing(drawn: BundleParts, tmp_path: Path) -> None:
    directory = write_bundle(tmp_path / "bundle", drawn).directory
    (directory / "candidate_reasons.npy").unlink()
    replace(read_manifest(directory), files=describe_files(directory)).write(directory)
    assert open_bundle(directory).candidate_reasons is None


def test_too_few_or_other_numbers_are_refused(drawn: BundleParts, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", drawn)
    path = bundle.directory / "candidate_reasons.npy"
    said = np.array(bundle.candidate_reasons)
    for wrong in (said[:-1], said.astype(np.int16)):
        np.save(path, wrong)
        with pytest.raises(BundleError, match=r"candidate_reasons\.npy: .*, not uint8"):
            open_bundle(bundle.directory, check_hashes=False)
