"""Synthetic raw files, and parts 1 to 9."""

from __future__ import annotations

import json

from spotify_buddies.foundation.stages.progress import Reporter
from spotify_buddies.foundation.stages.stage import TIMINGS
from spotify_buddies.trainer.bench.figure import OURS, Figure, timed
from spotify_buddies.trainer.bench.plan import Bench
from spotify_buddies.trainer.dataset.build import build_dataset
from spotify_buddies.trainer.dataset.reading.sources import find_sources
from spotify_buddies.trainer.dataset.table import (
    LIKED,
    MATRIX,
    OWN,
    RAW,
    SCORE,
    SONGS,
    SPLIT,
    STAGES,
    TRIPLETS,
    VALIDATION,
)
from spotify_buddies.trainer.synth.write import MARKER, synthesise

_WHAT = {
    RAW: "1 raw files read",
    SONGS: "2 songs matched",
    MATRIX: "3 matrices",
    SCORE: "4 scored, best 1.5 % kept",
    LIKED: "5 liked",
    SPLIT: "6 split",
    OWN: "7 owners",
    TRIPLETS: "8 triplets",
    VALIDATION: "9 validation batches",
}


def synth(bench: Bench) -> list[Figure]:
    """Write the raw files of the preset. They are made anew, so that the time is that of all of them."""
    size = bench.size
    # Without its marker's summary a folder counts as unfinished, and is written again with the same bytes.
    if (marker := bench.raw / MARKER).exists():
        marker.write_text(json.dumps({"asked": None, "summary": None}), encoding="utf-8")
    figure = timed(
        "synthetic raw files",
        OURS,
        size.users,
        "users",
        lambda: synthesise(
            bench.raw, users=size.users, playlists=size.playlists, songs=size.songs, progress=Reporter()
        ),
        once=True,
    )
    facts = json.loads(marker.read_bytes())["summary"]
    return [figure.with_facts(gigabytes=round(facts["bytes"] / 1e9, 3), **facts)]


def parts(bench: Bench) -> list[Figure]:
    """Run the nine parts; each part's figures are those that its stage notes, so an interrupted run keeps them."""
    summary = build_dataset(find_sources(bench.raw), bench.dataset, bench.data, progress=Reporter())
    timings = json.loads((bench.dataset / TIMINGS).read_bytes())
    users = bench.size.users
    figures = [
        Figure(
            work=f"part {_WHAT[name]}",
            by=OURS,
            amount=users,
            unit="users",
            seconds=timings[name]["seconds"],
            cpu_seconds=timings[name].get("cpu_seconds"),
            peak_rss_mib=_peak(timings[name]),
        )
        for name in STAGES
    ]
    known = [figure.cpu_seconds for figure in figures if figure.cpu_seconds is not None]
    score, liked = summary.statistics[SCORE], summary.statistics[LIKED]
    whole = Figure(
        work="parts 1 to 9",
        by=OURS,
        amount=users,
        unit="users",
        seconds=round(sum(figure.seconds for figure in figures), 3),
        cpu_seconds=round(sum(known), 3) if len(known) == len(figures) else None,
        peak_rss_mib=max(figure.peak_rss_mib for figure in figures),
        facts={
            "pairs": score["pairs"],
            "shared_songs": summary.statistics[SONGS]["shared_songs"],
            "scored_mean": score["scored_playlists_per_user"]["mean"],
            "liked_median": liked["liked_per_user"]["median"],
            "liked_mean": liked["liked_per_user"]["mean"],
            "triplets": summary.statistics[TRIPLETS]["triplets"],
            "triplets_in_a_file": summary.statistics[TRIPLETS]["in_a_file"],
        },
    )
    return [*figures, whole]


def _peak(timing: dict[str, float]) -> float:
    return timing.get("peak_rss_mib", timing.get("process_peak_rss_mib", 0.0))
