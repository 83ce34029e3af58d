"""Which user-blocks teach something; every other one is counted with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from spotify_buddies.trainer.retrain.store import SHOWN
from spotify_buddies.trainer.settings import RetrainSettings

TRAIN, VALIDATION, TEST = "train", "validation", "test"
# Of a block: where in its list the liked playlist was, from 1; null where the list is not stored.
RANK = "rank"
# The columns of `seen`.
SEEN = {
    "user_id": pl.String(),
    "playlist_id": pl.String(),
    "split": pl.String(),
    "looks": pl.Float64(),
    "likes": pl.Float64(),
}
# Of the blocks, by time.
SHARES = (0.7, 0.9)


@dataclass(frozen=True)
class Chosen:
    """blocks: the valid ones, oldest first, with `split`. reasons: how many were left out, by reason, in the order in
    which they are looked for; those of the blocks and these add up to what was read. people: all that bots did not do.
    """

    blocks: pl.DataFrame
    reasons: dict[str, int]
    people: pl.DataFrame


def choose(blocks: pl.DataFrame, playlists: pl.Series, settings: RetrainSettings) -> Chosen:
    """Apply the rules, each to what those before it left.

    blocks: as store.BLOCKS, ascending by time. playlists: ids that the data set knows. A block counts for the first
    reason that applies.
    """
    reasons: dict[str, int] = {}
    people = blocks
    for reason, keep in _people(settings).items():
        people, reasons[reason] = _kept(people, keep)
    valid = people
    for reason, keep in _valid(playlists, settings).items():
        valid, reasons[reason] = _kept(valid, keep)
    # Ignored playlists that nobody knows teach nothing; the block still does.
    known = pl.col("ignored").list.set_intersection(pl.lit(playlists.to_list(), pl.List(pl.String)))
    if not valid.is_empty():
        valid = valid.with_columns(known.list.sort().alias("ignored"))
    return Chosen(_split(_ranked(valid)), reasons, people)


Keep = Callable[[pl.DataFrame], pl.Series]


def _kept(blocks: pl.DataFrame, keep: Keep) -> tuple[pl.DataFrame, int]:
    if blocks.is_empty():
        return blocks, 0
    kept = blocks.filter(keep(blocks))
    return kept, blocks.height - kept.height


def _people(settings: RetrainSettings) -> dict[str, Keep]:
    return {
        "no_user": lambda blocks: blocks["user_id"] != "",
        "bot_too_many_a_day": lambda blocks: ~blocks["user_id"].is_in(_busy(blocks, settings).implode()),
        "bot_likes_everything": lambda blocks: ~blocks["user_id"].is_in(_pleased(blocks, settings).implode()),
    }


def _valid(playlists: pl.Series, settings: RetrainSettings) -> dict[str, Keep]:
    return {
        "nothing_liked": lambda blocks: blocks["liked"].list.len() > 0,
        "several_liked": lambda blocks: blocks["liked"].list.len() == 1,
        "liked_and_ignored": lambda blocks: blocks.select(
            pl.col("ignored").list.set_intersection("liked").list.len() == 0
        ).to_series(),
        "unknown_playlist": lambda blocks: blocks["liked"].list.first().is_in(playlists.implode()),
        # The newest of each counts.
        "answered_again": lambda blocks: _newest(blocks, ["recommendation_id", "user_id"]),
        "liked_again": lambda blocks: _newest(
            blocks.with_columns(pl.col("liked").list.first().alias("one")), ["user_id", "one"]
        ),
        "beyond_the_most_of_a_user": lambda blocks: _latest_of_each(blocks, settings.most_blocks),
    }


def _busy(blocks: pl.DataFrame, settings: RetrainSettings) -> pl.Series:
    """Users with a day of more blocks than any person has."""
    days = blocks.group_by("user_id", pl.col("at").dt.date().alias("day")).len()
    return days.filter(pl.col("len") > settings.bot_blocks_a_day)["user_id"].unique()


def _pleased(blocks: pl.DataFrame, settings: RetrainSettings) -> pl.Series:
    """Users who like nearly all that they react to, often enough that it is no mood."""
    said = blocks.group_by("user_id").agg(
        pl.len().alias("blocks"),
        pl.col("liked").list.len().sum().alias("likes"),
        (pl.col("liked").list.len() + pl.col("ignored").list.len() + pl.col("disliked").list.len())
        .sum()
        .alias("reactions"),
    )
    often = pl.col("blocks") >= settings.bot_blocks
    return said.filter(often & (pl.col("likes") > settings.bot_like_share * pl.col("reactions")))["user_id"]


def _newest(blocks: pl.DataFrame, same: list[str]) -> pl.Series:
    newest: pl.Series = blocks.select(pl.struct(same).is_last_distinct()).to_series()
    return newest


def _latest_of_each(blocks: pl.DataFrame, most: int) -> pl.Series:
    place = pl.int_range(pl.len(), dtype=pl.Int64).reverse().over("user_id")
    kept: pl.Series = blocks.select(place < most).to_series()
    return kept


def seen(chosen: Chosen, bias: float, half_life_s: float) -> pl.DataFrame:
    """What people looked at, of every list that is stored and that they reacted to, valid block or not.

    Columns user_id, playlist_id, split, looks (how often somebody looked, in expectation: the sum of rank ** -bias, see
    in_list) and likes (how often it was liked), both halved by each half-life before the newest block; ascending by the
    first three. No row, where nothing was kept.
    """
    if chosen.blocks.is_empty():
        return pl.DataFrame(schema=SEEN)
    age_s = (chosen.people["at"].max() - pl.col("at")).dt.total_seconds()
    shown = chosen.people.filter(pl.col(SHOWN).is_not_null()).with_columns(
        _part_of(chosen.blocks), fresh=pl.lit(0.5).pow(age_s / half_life_s)
    )
    ranks = pl.int_ranges(1, pl.col(SHOWN).list.len() + 1)
    places = shown.select("user_id", "split", "liked", "fresh", pl.col(SHOWN).alias("playlist_id"), rank=ranks)
    each = places.explode("playlist_id", "rank").select(
        "user_id",
        "playlist_id",
        "split",
        looks=pl.col("rank").cast(pl.Float64).pow(-bias) * pl.col("fresh"),
        likes=pl.col("liked").list.contains(pl.col("playlist_id")).cast(pl.Float64) * pl.col("fresh"),
    )
    said = each.group_by("user_id", "playlist_id", "split").agg(pl.col("looks").sum(), pl.col("likes").sum())
    return said.sort("user_id", "playlist_id", "split").select(*SEEN)


def _ranked(blocks: pl.DataFrame) -> pl.DataFrame:
    if blocks.is_empty():
        return blocks.with_columns(pl.lit(None, pl.Int64).alias(RANK)).drop(SHOWN)
    places = [
        None if shown is None or liked not in shown else shown.index(liked) + 1
        for shown, liked in zip(blocks[SHOWN].to_list(), blocks["liked"].list.first().to_list(), strict=True)
    ]
    return blocks.with_columns(pl.Series(RANK, places, pl.Int64)).drop(SHOWN)


def _split(blocks: pl.DataFrame) -> pl.DataFrame:
    """The oldest 70 % of the blocks train, the next 20 % validate; blocks of one moment stay together."""
    if blocks.is_empty():
        return blocks.with_columns(pl.lit(TRAIN).alias("split"))
    first, second = (blocks["at"][min(int(share * blocks.height), blocks.height - 1)] for share in SHARES)
    split = pl.when(pl.col("at") < first).then(pl.lit(TRAIN)).when(pl.col("at") < second).then(pl.lit(VALIDATION))
    return blocks.with_columns(split.otherwise(pl.lit(TEST)).alias("split"))


def _part_of(blocks: pl.DataFrame) -> pl.Expr:
    """The part of the split that a moment lies in, by the moments that divide the valid blocks."""
    later = [blocks.filter(split=part)["at"].min() for part in (VALIDATION, TEST)]
    part = pl.lit(TRAIN)
    for name, moment in zip((VALIDATION, TEST), later, strict=True):
        if moment is not None:
            part = pl.when(pl.col("at") >= moment).then(pl.lit(name)).otherwise(part)
    return part.alias("split")
