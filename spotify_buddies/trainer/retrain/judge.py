"""Whether a retrained version may take the place of the one that serves: both answer the same held-out questions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from spotify_buddies.foundation.arrays.seeds import generator
from spotify_buddies.trainer.bundle import Bundle
from spotify_buddies.trainer.dataset.table import Dataset
from spotify_buddies.trainer.evaluation.evaluate import Estimate, estimate
from spotify_buddies.trainer.evaluation.served.questions import Questions, nothing, questions_of_likes
from spotify_buddies.trainer.evaluation.served.ranker import Lists, OpenRanker
from spotify_buddies.trainer.metrics.lists import coverage, hits, inequality, places, shown
from spotify_buddies.trainer.metrics.ranking import FactorScorer, per_row, ranks
from spotify_buddies.trainer.models.model import Model
from spotify_buddies.trainer.retrain.elsewhere import Elsewhere
from spotify_buddies.trainer.retrain.in_list import InLists, in_lists
from spotify_buddies.trainer.retrain.rules import TEST
from spotify_buddies.trainer.settings import RetrainSettings

Array = npt.NDArray[Any]

SHORT, LONG = 5, 20


@dataclass(frozen=True)
class Among:
    """The held-out likes of the standing data set, each among its negatives: MRR of both, and the difference."""

    people: int
    new: Estimate
    serving: Estimate
    difference: Estimate


@dataclass(frozen=True)
class Spread:
    """What the lists of five show to everybody who is asked, new and serving: coverage, evenness (1 - Gini), and the
    share of people who get the playlist that most people get.
    """

    people: int
    coverage: tuple[float, float]
    evenness: tuple[float, float]
    most_shown: tuple[float, float]


@dataclass(frozen=True)
class Judgement:
    """against: what speaks against the new version, a sentence each; empty: nothing does. The others: the figures, None
    where nothing could be asked. fit: see fits_its_people.
    """

    against: tuple[str, ...]
    fit: Estimate | None = None
    feedback: InLists | None = None
    standing: Among | None = None
    spread: Spread | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON values, by field."""
        return asdict(self)


@dataclass(frozen=True)
class Judged:
    """What is judged. data: of the new version. standing: the data set of before. blocks: of the extract."""

    data: Dataset
    standing: Dataset
    blocks: pl.DataFrame
    new: Bundle
    serving: Bundle
    open_ranker: OpenRanker


def judge(judged: Judged, settings: RetrainSettings) -> Judgement:
    """Ask both versions. Where feedback is too little to say anything, that is what speaks against the new one."""
    blocks = judged.blocks.filter(split=TEST)
    people = blocks["user_id"].n_unique()
    if people < settings.least_people:
        return Judgement((f"{people} people have held-out feedback, and {settings.least_people} are needed to judge",))
    serving = Elsewhere(judged.serving, judged.open_ranker(judged.serving.directory), judged.data)
    fit = None
    if (questions := questions_of_likes(judged.data).get("follows-test")) is not None:
        fit = fits_its_people(questions, serving)
    feedback = in_lists(blocks, judged.data, judged.new, judged.serving, settings.position_bias)
    standing, spread = _among(judged), _spread(judged, serving)
    against = (
        *([] if fit is None else _unfit(fit)),
        *([] if feedback is None else _worse_on_feedback(feedback, settings.drop)),
        *([] if standing is None else _worse_on_standing(standing, settings.standing_drop)),
        *([] if spread is None else _narrower(spread, settings)),
    )
    if feedback is None:
        against = (*against, "no held-out block says where in its list the liked playlist was")
    return Judgement(against, fit, feedback, standing, spread)


def fits_its_people(questions: Questions, serving: Lists) -> Estimate:
    """Hit@20 of the serving version, less the same where everybody wants what somebody else wants.

    Feedback was given to lists that versions like it made for these people, so it must find what they liked more often
    than what others did; where it does not, the feedback is not theirs (users mixed up, ids shuffled).
    """
    if questions.users is None:
        raise ValueError("people who gave feedback are asked by their rows")
    lists = serving.rank_known(questions.users, questions.seen, LONG)
    person = np.arange(len(questions))
    own = hits(places(lists, questions.wanted), questions.wanted, LONG)
    # A rotation of a random order: nobody keeps their own.
    order = generator(0, "retrain/others").permutation(person)
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)
    wanted = questions.wanted.take(other)
    others = hits(places(lists, wanted), wanted, LONG)
    return estimate({"fit": own - others}, person)["fit"]


def _among(judged: Judged) -> Among | None:
    rows = np.asarray(judged.standing.test)
    if not len(rows):
        return None
    found = {}
    for name, bundle in (("new", judged.new), ("serving", judged.serving)):
        model, kept = _standing_model(judged.standing, bundle, rows)
        found[name] = (model, kept)
    kept = found["new"][1] & found["serving"][1]
    if not kept.any():
        return None
    values = {name: per_row(ranks(rows[kept], FactorScorer(model)))["mrr"] for name, (model, _) in found.items()}
    values["difference"] = values["new"] - values["serving"]
    _, person = np.unique(rows[kept, 0], return_inverse=True)
    figures = estimate(values, person)
    return Among(int(person.max()) + 1, figures["new"], figures["serving"], figures["difference"])


def _standing_model(standing: Dataset, bundle: Bundle, rows: Array) -> tuple[Model, Array]:
    """The bundle's factors by the rows of the standing data set, zeros for the unknown; which rows it knows wholly."""
    users = bundle.user_ids.find(standing.user_table["user_id"].to_list())
    playlists = bundle.playlist_ids.find(standing.playlist_table["playlist_id"].to_list())
    model = Model(_taken(bundle.user_factors, users), _taken(bundle.playlist_factors, playlists))
    known: Array = (users[rows[:, 0]] >= 0) & (playlists[rows[:, 1:]] >= 0).all(axis=1)
    return model, known


def _taken(table: Array, rows: Array) -> Array:
    out = np.zeros((rows.size, table.shape[1]), np.float32)
    out[rows >= 0] = np.asarray(table)[rows[rows >= 0]]
    return out


def _spread(judged: Judged, serving: Lists) -> Spread | None:
    """Of the people of the standing questions, over the playlists of the new data set."""
    asked = next(iter(questions_of_likes(judged.standing).values()), None)
    if asked is None or asked.users is None:
        return None
    ids = judged.standing.user_table["user_id"].gather(asked.users).to_list()
    rows = {name: row for row, name in enumerate(judged.data.user_table["user_id"].to_list())}
    users = np.array([rows[name] for name in ids if name in rows], np.int32)
    if not users.size:
        return None
    new = judged.open_ranker(judged.new.directory)
    seen = nothing(users.size, judged.data.playlists)
    lists = (new.rank_known(users, seen, SHORT), serving.rank_known(users, seen, SHORT))
    exposure = [shown(one, judged.data.playlists) for one in lists]
    now, before = exposure
    return Spread(
        users.size,
        (coverage(now), coverage(before)),
        (1 - inequality(now), 1 - inequality(before)),
        (float(now.max(initial=0)) / users.size, float(before.max(initial=0)) / users.size),
    )


def _unfit(fit: Estimate) -> list[str]:
    if fit.low > 0:
        return []
    return [
        "the feedback does not fit the people who gave it: the version that serves finds what they liked only "
        f"{fit.value:+.1%} more often than what others liked ({fit.low:+.1%} to {fit.high:+.1%})"
    ]


def _worse_on_feedback(found: InLists, drop: float) -> list[str]:
    difference = found.difference
    if difference.high >= 0 and difference.value >= -drop * found.serving.value:
        return []
    return [
        f"on the held-out feedback of {found.people} people the MRR within the lists is {found.new.value:.4f}, "
        f"{difference.value:+.4f} ({difference.low:+.4f} to {difference.high:+.4f}) beside the "
        f"{found.serving.value:.4f} of the version that serves"
    ]


def _worse_on_standing(found: Among, drop: float) -> list[str]:
    if found.difference.value >= -drop * found.serving.value:
        return []
    return [
        f"on the held-out likes of {found.people} people in the standing data set the MRR is {found.new.value:.4f}, "
        f"more than {drop:.0%} below the {found.serving.value:.4f} of the version that serves"
    ]


def _narrower(found: Spread, settings: RetrainSettings) -> list[str]:
    now, before = found.most_shown
    said = []
    if now > before + settings.same_for_all:
        said.append(
            f"one playlist is in the lists of {now:.0%} of {found.people} people; of the version that serves the most "
            f"common one is in those of {before:.0%}"
        )
    return said + [
        f"{what} of the lists of {found.people} people is {now:.3f}, less than {settings.kept:.0%} of the {before:.3f} "
        "of the version that serves"
        for what, (now, before) in (("coverage", found.coverage), ("evenness (1 - Gini)", found.evenness))
        if now < settings.kept * before
    ]
