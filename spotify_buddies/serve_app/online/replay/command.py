"""`buddies online replay`: a list that was shown, computed again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spotify_buddies.foundation.terminal.console import AsJson, an_id
from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.serve_app.settings.command import Settings, read_endpoints, store_url

if TYPE_CHECKING:
    from spotify_buddies.serve_app.online.replay.computed import Entry, Replay
    from spotify_buddies.serve_app.online.replay.stored import Past, Stored
    from spotify_buddies.trainer.bundle import Bundle


def replay(
    context: typer.Context,
    recommendation_id: Annotated[
        str, typer.Argument(metavar="RECOMMENDATION_ID", help="As the answer named the list.", callback=an_id)
    ],
    user: Annotated[
        str | None,
        typer.Option(help="Whose list it is. Without it, a list without feedback is looked for in every week."),
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="The bundle of its version; default: of the service here, or of the registry.")
    ] = None,
    canary_bundle: Annotated[
        Path | None,
        typer.Option(help="Of a list drafted from two versions, the canary's bundle; default: as --bundle."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute a list that was shown again, from its version's bundle, and compare the two.

    Exit code 1: they differ and no cause is known, or the list cannot be computed again.

    Example: buddies online replay 5f0c4b1e9d3a47c2b86a1f20e7d95c34
    """
    import psycopg

    from spotify_buddies.foundation.process.errors import LaunchError
    from spotify_buddies.foundation.terminal.console import explained, show
    from spotify_buddies.serve_app.online.replay.stored import ReplayError
    from spotify_buddies.trainer.bundle import BundleError
    from spotify_buddies.trainer.registry.registry import RegistryError

    settings: Settings = context.obj
    with explained(psycopg.Error, ReplayError, BundleError, RegistryError, LaunchError):
        stored, past, found = _replay(settings, recommendation_id, user, bundle, canary_bundle)
    if as_json:
        show(_json(stored, past, found), as_json=True)
    else:
        _tell(stored, past, found)
    if found.verdict == "differs":
        raise typer.Exit(1)


def _replay(
    settings: Settings, recommendation_id: str, user: str | None, given: Path | None, canary_given: Path | None
) -> tuple[Stored, Past, Replay]:
    from contextlib import ExitStack
    from datetime import UTC, datetime, timedelta

    import psycopg

    from spotify_buddies.serve_app.online.replay.computed import compare, compute, query_of, seen_of
    from spotify_buddies.serve_app.online.replay.drafted import canary_of, compute_drafted
    from spotify_buddies.serve_app.online.replay.stored import read_impression, read_past

    days = settings.serve.impressions_days
    with psycopg.connect(store_url(settings, "postgres"), connect_timeout=5, autocommit=True) as connection:
        stored = read_impression(connection, recommendation_id, user, days)
        query = query_of(stored)
        seen = seen_of(stored, query)
        since = None if seen is None else stored.at - timedelta(seconds=seen.window_s)
        past = read_past(
            connection, stored, since, shown=seen is not None and seen.shown, liked=seen is not None and seen.liked
        )
        canary = None if stored.picked_by is None else canary_of(connection, stored)
    counted = settings.serve.local_taste_listeners
    with ExitStack() as opened:
        bundle = opened.enter_context(_opened(settings, stored.model_version, given))
        if canary is None:
            computed = compute(bundle, stored, query, past, counted)
        else:
            beside = opened.enter_context(_opened(settings, canary, canary_given))
            computed = compute_drafted((bundle, beside), canary, stored, query, past, counted)
    return stored, past, compare(stored, query, past, computed, days, datetime.now(UTC))


@contextmanager
def _opened(settings: Settings, version: str, given: Path | None) -> Iterator[Bundle]:
    """A version's bundle: the given one, else that of the service here, else what lies here or in the registry."""
    from spotify_buddies.serve_app.versions.fetch import Shelf
    from spotify_buddies.serve_app.versions.retention import in_use
    from spotify_buddies.trainer.bundle import BundleError, open_bundle
    from spotify_buddies.trainer.registry.registry import tracking_uri

    bundles = settings.state_dir / "bundles"
    served = read_endpoints(settings.state_dir)
    directory = given
    if directory is None and served is not None and served.model_version == version and served.bundle:
        directory = Path(served.bundle)
    if directory is None and not version.isdigit():
        raise BundleError(f"version {version!r} is no number of a registry; name its bundle with --bundle")
    if directory is None:
        uri = tracking_uri(settings.state_dir, settings.mlflow_tracking_uri)
        directory = Shelf(uri, settings.registry.model, bundles).fetch(version)
    with in_use(bundles, directory):
        yield open_bundle(directory, check_hashes=False)


def _json(stored: Stored, past: Past, found: Replay) -> dict[str, Any]:
    return {
        "recommendation_id": stored.recommendation_id,
        "user_id": stored.user_id,
        "at": stored.at.isoformat(),
        "model_version": stored.model_version,
        "arm": stored.arm,
        "source": stored.source,
        "skipped": stored.skipped,
        "verdict": found.verdict,
        "causes": found.causes,
        "differing_ranks": found.differing,
        "largest_score_difference": found.largest,
        "same_candidates": stored.candidates == found.computed.candidates,
        "blocked": len(past.blocked),
        "seen": len(past.seen),
        "picked_by": stored.picked_by,
        "computed_picked_by": found.computed.picked_by,
        "shown": [entry._asdict() for entry in found.shown],
        "computed": [entry._asdict() for entry in found.computed.entries],
        "computed_source": found.computed.source,
    }


def _tell(stored: Stored, past: Past, found: Replay) -> None:
    from itertools import zip_longest

    from spotify_buddies.foundation.terminal.tables import table

    say(
        f"list {stored.recommendation_id} for {stored.user_id or 'a taste without an id'} at {stored.at:%F %T} UTC: "
        f"version {stored.model_version} ({stored.arm}), {stored.source}, {len(found.shown)} playlists"
        + (f", without {', '.join(stored.skipped)}" if stored.skipped else "")
    )
    if stored.picked_by is not None:
        picked = ", ".join(f"{rank} by {version}" for rank, version in enumerate(stored.picked_by, 1))
        say(f"drafted from two versions; picked: {picked or 'nothing'}")
    say(f"left out for the listener: {len(past.blocked)} blocked, {len(past.seen)} seen")
    if any(entry.propensity < 1 for entry in found.shown):
        say(f"drawn at random, with propensities {', '.join(f'{entry.propensity:.3g}' for entry in found.shown)}")
    if not found.differing:
        say(f"computed again: the same playlists in the same order, scores within {found.largest:.1g}")
        return
    say(f"computed again: {len(found.differing)} of {len(found.shown)} places differ ({found.computed.source})")
    ranked = enumerate(zip_longest(found.shown, found.computed.entries), 1)
    rows = [(rank, *_cells(old), *_cells(new)) for rank, (old, new) in ranked if rank in found.differing]
    say(table(("#", "shown", "score", "computed", "score"), rows, right=(0, 2, 4)))
    for cause in found.causes or ["no cause is known"]:
        say(f"why: {cause}")


def _cells(entry: Entry | None) -> tuple[str, str]:
    return ("", "") if entry is None else (entry.playlist_id, f"{entry.score:.6f}")
