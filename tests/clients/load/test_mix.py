"""Shares of the kinds of calls, and the requests that come of them."""

import random
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from spotify_buddies.clients.load.mix import DECK, CallKind, MixError, deal, parse_mix
from spotify_buddies.clients.load.plan import LoadPlan
from spotify_buddies.clients.load.sample import Sample, SampleError, read
from spotify_buddies.clients.load.worker.requests import Requests, RequestsError
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb

SAMPLE = Sample(("anna", "ben", "cleo"), ((("Wild World", "Yusuf"), ("Hurt", "Johnny Cash")),))


def requests(plan: LoadPlan, sample: Sample = SAMPLE) -> Requests:
    return Requests(plan, sample, random.Random(5))


def test_a_deck_holds_every_kind_in_its_share() -> None:
    weights = parse_mix("known=80, taste=10, unknown=5, feedback=5")
    dealt = Counter(islice(deal(weights, random.Random(1)), 3 * DECK))
    assert dealt == {CallKind.KNOWN: 2_400, CallKind.TASTE: 300, CallKind.UNKNOWN: 150, CallKind.FEEDBACK: 150}


def test_shares_that_do_not_divide_the_deck_miss_by_one_call_at_most() -> None:
    dealt = Counter(islice(deal(parse_mix("known,taste,unknown"), random.Random(1)), DECK))
    assert sorted(dealt.values()) == [333, 333, 334]


def test_one_kind_alone_is_dealt_always() -> None:
    assert set(islice(deal(parse_mix("taste"), random.Random(1)), 100)) == {CallKind.TASTE}


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "none of"), ("know=1", "'know' is none of known"), ("known=x", "not a number"), ("known=0", "more than 0"),
     ("known=inf", "more than 0"), ("known=1,known=2", "twice")],
)  # fmt: skip
def test_a_mix_that_cannot_be_read_says_why(text: str, said: str) -> None:
    with pytest.raises(MixError, match=said):
        parse_mix(text)


def test_a_known_call_asks_for_listeners_of_the_sample() -> None:
    request = requests(LoadPlan("x", {CallKind.KNOWN: 1.0}, users_per_call=7, limit=3, explain=False)).next()
    message = pb.RecommendRequest.FromString(request.payload)
    assert request.users == 7
    assert len(message.user_ids) == 7
    assert set(message.user_ids) <= set(SAMPLE.user_ids)
    assert (message.limit, message.explain) == (3, False)


def test_an_unknown_call_asks_for_nobody_of_the_sample() -> None:
    message = pb.RecommendRequest.FromString(requests(LoadPlan("x", {CallKind.UNKNOWN: 1.0})).next().payload)
    assert len(message.user_ids) == 1
    assert not set(message.user_ids) & set(SAMPLE.user_ids)


def test_a_taste_call_holds_the_songs_of_a_taste() -> None:
    message = pb.RecommendRequest.FromString(requests(LoadPlan("x", {CallKind.TASTE: 1.0})).next().payload)
    assert [(song.name.title, song.name.artist) for song in message.tastes[0].songs] == list(SAMPLE.tastes[0])


def test_feedback_is_about_recommendations_that_were_received_each_with_a_key_of_its_own() -> None:
    made = requests(LoadPlan("x", {CallKind.FEEDBACK: 1.0}, reactions=2))
    found = pb.Recommendation(
        recommendation_id="r1", user_id="anna", model_version="7", arm=pb.ARM_PRODUCTION,
        playlists=[pb.RecommendedPlaylist(playlist_id=name) for name in "abc"],
    )  # fmt: skip
    short = pb.Recommendation(recommendation_id="r2", playlists=[pb.RecommendedPlaylist(playlist_id="a")])
    made.keep(pb.RecommendResponse(recommendations=[short, found]))
    again = requests(LoadPlan("x", {CallKind.FEEDBACK: 1.0}, reactions=2))  # of the same seed, as another run
    again.keep(pb.RecommendResponse(recommendations=[found]))
    sent = [pb.FeedbackRequest.FromString(one.next().payload) for one in (made, made, made, again, again)]
    assert {(one.recommendation_id, one.user_id, tuple(one.liked), one.model_version) for one in sent} == {
        ("r1", "anna", ("a", "b"), "7")
    }
    assert len({one.idempotency_key for one in sent}) == 5


def test_feedback_without_a_recommendation_cannot_be_made() -> None:
    with pytest.raises(RequestsError, match="none came"):
        requests(LoadPlan("x", {CallKind.FEEDBACK: 1.0})).next()


@pytest.mark.parametrize("kind", [CallKind.KNOWN, CallKind.TASTE])
def test_a_mix_without_anybody_to_ask_for_is_refused(kind: CallKind) -> None:
    with pytest.raises(RequestsError, match="are given"):
        requests(LoadPlan("x", {kind: 1.0}), Sample())


def test_priming_asks_for_recommendations_only_where_feedback_is_sent() -> None:
    assert list(requests(LoadPlan("x", {CallKind.KNOWN: 1.0})).priming()) == []
    first = pb.RecommendRequest.FromString(next(requests(LoadPlan("x", {CallKind.FEEDBACK: 1.0})).priming()))
    assert len(first.user_ids) == 500


def test_files_name_listeners_and_songs(tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("anna\n\n ben \n")
    (tmp_path / "songs").write_text("Hurt - Johnny Cash\nAnti - Hero - Somebody\n")
    found = read(tmp_path / "ids", tmp_path / "songs", random.Random(1))
    assert found.user_ids == ("anna", "ben")
    assert set(found.tastes[0]) == {("Hurt", "Johnny Cash"), ("Anti - Hero", "Somebody")}


def test_a_bad_file_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "songs").write_text("Hurt - Johnny Cash\nHurt\n")
    with pytest.raises(SampleError, match="songs:2: 'Hurt' is not"):
        read(None, tmp_path / "songs", random.Random(1))
    with pytest.raises(SampleError, match="No such file"):
        read(tmp_path / "none", None, random.Random(1))
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(SampleError, match="empty"):
        read(tmp_path / "empty", None, random.Random(1))
