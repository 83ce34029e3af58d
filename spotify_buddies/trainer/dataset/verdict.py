"""Verdict on a data set: its size, what was left out of it and why, and whether it is fit to train on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from spotify_buddies.trainer.dataset.table import FOLLOWS, LIKED, MATRIX, RAW, SCORE, SONGS, SPLIT, STAGES, TRIPLETS

# Bounds of what is normal. The public data match most of their listens; a tenth points at names of another spelling.
_LEAST_MATCHED = 0.1
_MOST_SKIPPED = 0.01
_MOST_NAMELESS = 0.05
_MOST_UNSCORED = 0.1
_MUCH_MORE = 1.1
_MOST_UNKNOWN = 0.5
_EXAMPLES = 3
_COLUMNS = 10

Numbers = Mapping[str, Any]

# Raw data that is left out without being malformed: statistic of part 1 and what it counts.
_LEFT_OUT = {
    "playlist_tracks_without_a_name": "playlist tracks without a title or artist",
    "own_listens_without_a_song_name": "listens without a title or artist",
    "playlists_that_came_twice": "playlists that were read before",
    "own_rows_of_a_playlist_that_came_before": "rows of playlists that were read before",
    "song_names_left_out_as_known_mismatches": "song names that are known mismatches",
    "interactions_with_an_unknown_playlist": "follows and dislikes of unknown playlists",
    "dislikes_of_a_user_nobody_knows": "dislikes of unknown users",
    "interactions_that_came_twice": "follows and dislikes that came before",
    "playlists_both_followed_and_disliked": "follows or dislikes that the same user contradicts",
    "follows_of_own_playlists": "follows of the user's own playlist",
    "held_out_follows_of_users_nothing_is_known_of": "held-out follows of users of whom nothing else is known",
}


_WAYS = {
    "given": "the files",
    "cut": "two moments for all users",
    "user": "each user's order of time",
    "random": "chance",
}


@dataclass(frozen=True)
class Verdict:
    """facts: name -> sentence. left_out: what was skipped, each with its count and reason. problems: with advice."""

    facts: Mapping[str, str]
    left_out: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing speaks against training on it."""
        return not self.problems

    def headline(self) -> str:
        """One sentence."""
        count = len(self.problems)
        return "data set: looks healthy" if self.healthy else f"data set: {count} problem{'s' if count > 1 else ''}"

    def lines(self) -> list[str]:
        """For people: the headline, the problems, the facts, what was left out."""
        width = max(map(len, [*self.facts, "skipped"]))
        skipped = self.left_out or ("nothing",)
        return [
            self.headline(),
            *(f"  ! {problem}" for problem in self.problems),
            *(f"  {name:<{width}}  {fact}" for name, fact in self.facts.items()),
            *(f"  {'' if row else 'skipped':<{width}}  {reason}" for row, reason in enumerate(skipped)),
        ]

    def to_json(self) -> dict[str, Any]:
        """JSON values: healthy, facts, left_out, problems."""
        lists = {"left_out": list(self.left_out), "problems": list(self.problems)}
        return {"healthy": self.healthy, "facts": dict(self.facts), **lists}


def judge(statistics: Mapping[str, Mapping[str, Any]]) -> Verdict:
    """The verdict on the finished parts, by their names; parts that are not finished are a problem of their own."""
    # A fact takes numbers of its own part and of those before it, so that a gap ends what can be said.
    numbers: dict[str, Numbers] = {}
    known: Numbers = {}
    for part in takewhile(statistics.__contains__, STAGES):
        # Its own numbers win: `negatives` of triplets and of validation batches are two settings.
        known = {**known, **statistics[part]}
        numbers[part] = known
    missing = [name for name in STAGES if name not in numbers]
    problems = [f"unfinished, without {', '.join(missing)}; rerun `buddies data build` to resume"] if missing else []
    facts = {name: fact(numbers[part]) for part, name, fact in _FACTS if part in numbers}
    problems += [problem for part, check in _CHECKS if part in numbers and (problem := check(numbers[part]))]
    return Verdict(facts, tuple(_left_out(known)), tuple(problems))


def _users(numbers: Numbers) -> str:
    return f"{numbers['users']:,}, {_middle(numbers['songs_per_user'], 'songs')}"


def _playlists(numbers: Numbers) -> str:
    return f"{numbers['playlists']:,}, {_middle(numbers['songs_per_playlist'], 'songs')}"


def _songs(numbers: Numbers) -> str:
    heard, listed = numbers["songs_heard"], numbers["songs_in_playlists"]
    return f"{numbers['songs']:,}: {heard:,} listened to, {listed:,} in playlists, {numbers['shared_songs']:,} in both"


def _matched(numbers: Numbers) -> str:
    kind = numbers["matching"]
    if not numbers["listens"]:
        return "nothing to match: no listens"
    tracks = _share(numbers[f"tracks_with_a_listener_{kind}_matching"], numbers["playlist_tracks"])
    return f"{_matched_share(numbers, kind):.1%} of the listens, {tracks:.1%} of the playlist tracks ({kind} matching)"


def _likes(numbers: Numbers) -> str:
    spread = numbers["liked_per_user"]
    each = f", {spread['median']:,.0f} a user at the median" if spread else ""
    if numbers.get("labels") == FOLLOWS:
        return f"{numbers['liked']:,} real follows of {numbers['users_who_like_something']:,} users{each}"
    return f"{numbers['liked']:,} of {numbers['pairs']:,} scored pairs{each}"


def _split(numbers: Numbers) -> str:
    parts = ", ".join(f"{numbers[part]:,} {part}" for part in ("train", "validation", "test"))
    how = f", by {_WAYS[numbers['follow_split']]}" if numbers.get("labels") == FOLLOWS else ""
    return f"{parts}{how}; {numbers['cold_users']:,} users held out as cold"


def _triplets(numbers: Numbers) -> str:
    return f"{numbers['triplets']:,}, {numbers['negatives']} negatives for each positive"


_FACTS: tuple[tuple[str, str, Callable[[Numbers], str]], ...] = (
    (MATRIX, "users", _users),
    (MATRIX, "playlists", _playlists),
    (SONGS, "songs", _songs),
    (SONGS, "matched", _matched),
    (LIKED, "likes", _likes),
    (SPLIT, "split", _split),
    (TRIPLETS, "triplets", _triplets),
)


def _left_out(numbers: Numbers) -> list[str]:
    listed = numbers.get("skipped", [])
    bad = {
        "skipped_files": "malformed files",
        "skipped_playlists": "malformed playlists",
        "skipped_lines": "malformed lines",
    }
    lines = [f"{what}: {numbers[name]:,}" for name, what in bad.items() if numbers.get(name)]
    if lines:
        more = "; ..." if len(listed) > _EXAMPLES else ""
        lines[-1] += f" ({'; '.join(listed[:_EXAMPLES])}{more})"
    lines += [f"{what}: {numbers[name]:,}" for name, what in _LEFT_OUT.items() if numbers.get(name)]
    exported = numbers.get("rows_of_exports_left_out", {})
    lines += [f"rows of exports, {why}: {rows:,}" for why, rows in exported.items()]
    lines += [f"columns that are not read: {text}" for text in _unread(numbers.get("unread_columns", {}))]
    if unknown := numbers.get("interactions_left_out"):
        lines.append(f"unknown, such as: {'; '.join(unknown[:_EXAMPLES])}")
    if numbers.get("users_not_sampled"):
        lines.append(f"users beyond [data] sample_users: {numbers['users_not_sampled']:,}")
    return lines


def _unread(columns: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for file, names in columns.items():
        more = f" and {len(names) - _COLUMNS:,} more" if len(names) > _COLUMNS else ""
        yield f"{file}: {', '.join(names[:_COLUMNS])}{more}"


def _check_skipped(numbers: Numbers) -> str:
    files, lines, playlists = numbers["skipped_files"], numbers["skipped_lines"], numbers.get("skipped_playlists", 0)
    share = _share(lines, lines + numbers["listens"])
    lost = _share(playlists, playlists + numbers["playlists"])
    if files or max(share, lost) > _MOST_SKIPPED:
        more = f", malformed playlists: {lost:.1%}" if playlists else ""
        return f"malformed files: {files:,}, malformed lines: {share:.1%}{more}; repair them and build again"
    return ""


def _check_follows(numbers: Numbers) -> str:
    read, unknown = numbers.get("interactions", 0), numbers.get("interactions_with_an_unknown_playlist", 0)
    share = _share(unknown, read + unknown)
    advice = "compare the playlist ids of both files"
    return (
        f"{share:.0%} of the follows and dislikes are of unknown playlists; {advice}" if share > _MOST_UNKNOWN else ""
    )


def _check_names(numbers: Numbers) -> str:
    nameless = numbers.get("playlist_tracks_without_a_name", 0)
    share = _share(nameless, nameless + numbers["playlist_tracks"])
    return f"{share:.0%} of the playlist tracks have no title or artist" if share > _MOST_NAMELESS else ""


def _check_matching(numbers: Numbers) -> str:
    kind = numbers["matching"]
    share, full = _matched_share(numbers, kind), _matched_share(numbers, "full")
    advice = "compare how listens and playlists spell names"
    # Even where enough is matched already: the better matching is only a setting away.
    if full > _MUCH_MORE * share:
        advice = f'[data] matching = "full" matches {full:.1%}'
    elif share >= _LEAST_MATCHED or not numbers["listens"]:
        return ""
    return f"only {share:.1%} of the listens are of songs that a playlist holds; {advice}"


def _check_scores(numbers: Numbers) -> str:
    share = _share(numbers["users_without_a_scored_playlist"], numbers["users"])
    return f"{share:.0%} of the users share no song with any playlist" if share > _MOST_UNSCORED else ""


def _check_likes(numbers: Numbers) -> str:
    return "" if numbers["liked"] else "nobody likes anything: there is nothing to train on"


def _check_split(numbers: Numbers) -> str:
    empty = [part for part in ("validation", "test") if not numbers[part]]
    # A public split may keep its test to itself; validation is then what a model is judged by.
    if numbers.get("follow_split") == "given" and empty == ["test"]:
        return ""
    return f"no likes for {' and '.join(empty)}: a model cannot be judged; add users or songs" if empty else ""


def _check_triplets(numbers: Numbers) -> str:
    return (
        "" if numbers["triplets"] else "no triplets: every user likes all, or none, of the playlists that share a song"
    )


_CHECKS: tuple[tuple[str, Callable[[Numbers], str]], ...] = (
    (RAW, _check_skipped),
    (RAW, _check_follows),
    (RAW, _check_names),
    (SONGS, _check_matching),
    (SCORE, _check_scores),
    (LIKED, _check_likes),
    (SPLIT, _check_split),
    (TRIPLETS, _check_triplets),
)


def _matched_share(numbers: Numbers, kind: str) -> float:
    return _share(numbers[f"listens_with_a_playlist_{kind}_matching"], numbers["listens"])


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _middle(spread: Mapping[str, float], unit: str) -> str:
    return f"{spread['median']:,.0f} {unit} each at the median" if spread else f"no {unit}"
