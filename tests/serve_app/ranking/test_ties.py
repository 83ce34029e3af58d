"""Reasons where no song is shared: artists and followers in common, against a plain count."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.ranking.encoding import Encoder, draw_ids
from spotify_buddies.serve_app.ranking.engine import Engine
from spotify_buddies.serve_app.ranking.query import ReasonKind, Taste
from spotify_buddies.serve_app.ranking.reasons import Reasons, explain
from spotify_buddies.trainer.bundle import Bundle, BundleParts, write_bundle
from tests.serve_app.bundles import PLAYLISTS, SONGS, USERS, parts
from tests.serve_app.ranking.cold_path import NONE, answering, ask, near
from tests.serve_app.reference import message

# Songs of users and of playlists are apart, and so are owners: nobody shares a song with anybody.
HEARD, LISTED = np.arange(0, 30), np.arange(30, SONGS)
ARTISTS = 24


def apart(index: Path, seed: int = 11) -> BundleParts:
    """Users hear songs 0..29, playlists hold 30..89 and nobody owns them; every seventh song has no artist."""
    rng = np.random.default_rng(seed)
    artist = rng.integers(0, ARTISTS, SONGS).astype(np.int32)
    artist[::7] = -1
    followed = [np.sort(rng.choice(PLAYLISTS, rng.integers(0, 12), replace=False)) for _ in range(USERS)]
    beside = [rng.permutation(np.delete(np.arange(USERS), user))[: rng.integers(0, 9)] for user in range(USERS)]
    heard = [np.sort(rng.choice(HEARD, rng.integers(0, 6), replace=False)) for _ in range(USERS)]
    listed = [np.sort(rng.choice(LISTED, rng.integers(0, 9), replace=False)) for _ in range(PLAYLISTS)]
    return replace(
        parts(index),
        owner=np.full(PLAYLISTS, -1, np.int32),
        owned=Csr.from_rows([[]] * USERS, PLAYLISTS),
        user_songs=Csr.from_rows(heard, SONGS),
        playlist_songs=Csr.from_rows(listed, SONGS),
        artist_rows=artist,
        followed=Csr.from_rows(followed, PLAYLISTS),
        co_followers=Csr.from_rows(beside, USERS),
    )  # fmt: skip


@pytest.fixture(scope="module")
def index(bundle_dir: Path) -> Path:
    return bundle_dir / "index"


@pytest.fixture(scope="module")
def tied(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(write_bundle(tmp_path_factory.mktemp("tied") / "bundle", apart(index)), "7")


def plain_reason(bundle: Bundle, user: int, playlist: int) -> tuple[ReasonKind, int, list[int]]:
    """Kind, count and examples as the definitions say them, for playlists that share no song."""
    assert bundle.artist_rows is not None
    assert bundle.playlist_songs is not None
    assert bundle.co_followers is not None
    assert bundle.followed is not None
    artist = bundle.artist_rows.tolist()
    mine = Counter(artist[song] for song in bundle.user_songs.row(user).tolist() if artist[song] >= 0)
    by_mine = [song for song in bundle.playlist_songs.row(playlist).tolist() if artist[song] in mine]
    if by_mine:
        first = {artist[song]: song for song in reversed(by_mine)}
        # Stable: of artists with as many songs of the user, who comes first in the playlist.
        best = sorted(sorted(first.values()), key=lambda song: -mine[artist[song]])
        return ReasonKind.ARTISTS, len(by_mine), best[:3]
    following = [p for p in bundle.co_followers.row(user).tolist() if playlist in bundle.followed.row(p).tolist()]
    return (ReasonKind.FOLLOWERS if following else ReasonKind.TASTE), len(following), []


def said(reasons: Reasons, i: int, place: int) -> tuple[ReasonKind, int, list[int]]:
    examples = [song for song in reasons.examples[i, place].tolist() if song >= 0]
    return ReasonKind(reasons.kinds[i, place]), int(reasons.shared[i, place]), examples


def test_artists_come_first_and_then_followers_as_a_plain_count_says(tied: Engine) -> None:
    lists = tied.rank_known([f"user-{user}" for user in range(USERS - 1)], 20, NONE)
    reasons = explain(tied, lists)
    seen: Counter[ReasonKind] = Counter()
    for i in range(USERS - 1):
        for place in range(lists.counts[i]):
            expected = plain_reason(tied.bundle, i, int(lists.rows[i, place]))
            assert said(reasons, i, place) == expected
            seen[expected[0]] += 1
        assert not reasons.kinds[i, lists.counts[i] :].any()
        assert not reasons.shared[i, lists.counts[i] :].any()
    assert min(seen[kind] for kind in (ReasonKind.ARTISTS, ReasonKind.FOLLOWERS, ReasonKind.TASTE)) > 20


def test_one_user_a_call_and_all_in_one_get_the_same_reasons(tied: Engine) -> None:
    ids = [f"user-{user}" for user in range(USERS - 1)]
    together = explain(tied, tied.rank_known(ids, 5, NONE))
    for i, user in enumerate(ids):
        alone = explain(tied, tied.rank_known([user], 5, NONE))
        assert (alone.shared[0] == together.shared[i]).all()
        assert (alone.kinds[0] == together.kinds[i]).all()
        assert (alone.examples[0] == together.examples[i]).all()


def test_the_answer_names_artists_and_counts_followers(tied: Engine) -> None:
    lists = tied.rank_known([f"user-{user}" for user in range(USERS)], 10, NONE)
    reasons, drawn = explain(tied, lists), draw_ids(USERS)
    encoded = Encoder(tied).encode(lists, drawn, reasons)
    answer = message(tied.bundle, "7", lists, drawn, reasons)
    assert encoded == answer.SerializeToString(deterministic=True)
    found = [p.reason for r in answer.recommendations for p in r.playlists]
    of_artists = [reason for reason in found if reason.kind == pb.REASON_KIND_ARTISTS]
    assert all(reason.artist_songs >= 1 <= len(reason.artists) <= 3 for reason in of_artists)
    assert {reason.artists[0] for reason in of_artists} <= {tied.bundle.song_artists[s] for s in range(SONGS)}
    of_followers = [reason for reason in found if reason.kind == pb.REASON_KIND_FOLLOWERS]
    assert {reason.text for reason in of_followers if reason.common_followers == 2} == {
        "followed by 2 people who follow what you follow"
    }
    assert not any(reason.shared_songs or reason.examples for reason in (*of_artists, *of_followers))


def test_a_taste_has_artists_and_never_somebody_elses_followers(index: Path, tmp_path: Path) -> None:
    """Row 0 of the tastes is not user 0: whoever is beside user 0 says nothing about them."""
    followed = Csr.from_rows([np.arange(PLAYLISTS)] * USERS, PLAYLISTS)
    beside = Csr.from_rows([[(user + 1) % USERS] for user in range(USERS)], USERS)
    made = replace(apart(index), followed=followed, co_followers=beside, owned=parts(index).owned, refused=None)
    engine = Engine(write_bundle(tmp_path / "bundle", made), "7")
    known = explain(engine, engine.rank_known(["user-0"], 20, NONE))
    assert ReasonKind.FOLLOWERS in known.kinds[0].tolist()
    songs = tuple(engine.bundle.song_ids.table[row] for row in range(14))
    tastes = [Taste("stranger", songs), Taste("user-0", songs)]
    lists = engine.rank_tastes(tastes, engine.find_songs(tastes), _near_two(), 20, NONE)
    kinds = set(explain(engine, lists).kinds[lists.rows >= 0].tolist())
    assert ReasonKind.ARTISTS in kinds
    assert ReasonKind.FOLLOWERS not in kinds


def _near_two() -> Csr:
    return Csr(np.array([0, 3, 6]), np.array([1, 2, 3, 1, 2, 3], np.int32), USERS, np.full(6, 0.5, np.float32))


@pytest.mark.parametrize("missing", [("artist_rows",), ("followed", "co_followers"), ("playlist_songs",)])
def test_what_a_bundle_does_not_hold_gives_no_reason(index: Path, tmp_path: Path, missing: tuple[str, ...]) -> None:
    made = replace(apart(index), **dict.fromkeys(missing))
    engine = Engine(write_bundle(tmp_path / "bundle", made), "7")
    lists = engine.rank_known([f"user-{user}" for user in range(USERS)], 20, NONE)
    kinds = set(explain(engine, lists).kinds[lists.rows >= 0].tolist())
    without = {"artist_rows": ReasonKind.ARTISTS, "playlist_songs": ReasonKind.ARTISTS}
    assert without.get(missing[0], ReasonKind.FOLLOWERS) not in kinds
    assert kinds & {ReasonKind.ARTISTS, ReasonKind.FOLLOWERS}


def test_a_bundle_from_before_is_close_to_the_taste(index: Path, tmp_path: Path) -> None:
    made = replace(apart(index), artist_rows=None, followed=None, co_followers=None)
    engine = Engine(write_bundle(tmp_path / "bundle", made), "7")
    answered, _ = ask(engine, answering(near()), user_ids=["user-1", "user-2"])
    reasons = [p.reason for r in answered.recommendations for p in r.playlists]
    assert {(reason.kind, reason.text) for reason in reasons} == {(pb.REASON_KIND_TASTE, "close to your taste")}


def test_a_service_answers_with_artists(tied: Engine) -> None:
    answered, _ = ask(tied, answering(near()), user_ids=[f"user-{user}" for user in range(20)], limit=10)
    kinds = {p.reason.kind for r in answered.recommendations for p in r.playlists}
    assert {pb.REASON_KIND_ARTISTS, pb.REASON_KIND_FOLLOWERS} <= kinds
