"""What a recommendation looks like to people."""

from __future__ import annotations

import pytest

from spotify_buddies.clients.command.recommendations import print_recommendations
from spotify_buddies.clients.python import (
    Arm,
    Counterfactual,
    CounterfactualOutcome,
    Playlist,
    Reason,
    ReasonKind,
    Recommendation,
    Song,
    Source,
)


def test_a_playlist_without_an_owner_is_by_an_unknown_listener(capsys: pytest.CaptureFixture[str]) -> None:
    playlists = (Playlist("p", "Mine", "ada", 0.5, None), Playlist("q", "Nobody's", "", 0.4, None))
    print_recommendations([Recommendation("bob", "rec", playlists, "1", Arm.PRODUCTION, Source.LIVE, (), 0)])
    rows = [line for line in capsys.readouterr().out.splitlines() if "Mine" in line or "Nobody" in line]
    assert ["ada" in rows[0], "unknown listener" in rows[0]] == [True, False]
    assert "unknown listener" in rows[1]


def test_a_reason_names_its_songs_or_else_its_artists(capsys: pytest.CaptureFixture[str]) -> None:
    of_artists = Reason(0, (), "with 12 songs by artists you listen to", ReasonKind.ARTISTS, 12, ("Björk", "Air"))
    of_songs = Reason(1, (Song("Roads", "Portishead"),), "with one of your songs", ReasonKind.SONGS)
    playlists = (Playlist("p", "Mine", "ada", 0.5, of_artists), Playlist("q", "Other", "", 0.4, of_songs))
    print_recommendations([Recommendation("bob", "rec", playlists, "1", Arm.PRODUCTION, Source.LIVE, (), 0)])
    shown = " ".join(capsys.readouterr().out.split())
    assert "with 12 songs by artists you listen to (Björk, Air)" in shown
    assert "with one of your songs (Roads)" in shown


@pytest.mark.parametrize("outcome", [o for o in CounterfactualOutcome if o is not CounterfactualOutcome.FOUND])
def test_every_outcome_of_a_counterfactual_is_a_sentence(
    outcome: CounterfactualOutcome, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Counterfactual(
        CounterfactualOutcome.FOUND, (Song("Roads", "Portishead", "SO1"), Song(song_id="SO2")), "other"
    )
    playlists = (
        Playlist("p", "Mine", "ada", 0.5, None, (), Counterfactual(outcome)),
        Playlist("q", "Other", "", 0.4, None, (), found),
        Playlist("r", "Third", "", 0.4, None),
    )
    print_recommendations([Recommendation("bob", "rec", playlists, "1", Arm.PRODUCTION, Source.LIVE, (), 0)])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("#")][-2:]
    assert lines[0].startswith("#1 ")
    assert len(lines[0].split()) > 5
    assert lines[1] == "#2 would not be in the list without Roads - Portishead | SO2; then other is in it"
