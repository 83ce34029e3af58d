"""The published ranking against its formula."""

from pathlib import Path

import numpy as np

from spotify_buddies.serve_app.baseline.published_ranking import Model
from spotify_buddies.trainer.bundle import Bundle
from tests.serve_app.bundles import NO_PAIRING


def test_it_takes_the_five_candidates_with_the_highest_inner_products(bundle: Bundle, bundle_dir: Path) -> None:
    model = Model.of(bundle_dir)
    users = [0, 7, 7, 41]
    expected = []
    for row in users:
        candidates = bundle.candidates.row(row)
        scores = np.asarray(bundle.playlist_factors)[candidates] @ np.asarray(bundle.user_factors)[row]
        expected.append([f"list-{candidates[place]}" for place in np.argsort(-scores)[:5]])
    assert model.rank([f"user-{row}" for row in users]) == expected


def test_nobody_and_users_without_candidates_get_what_is_popular(bundle: Bundle, bundle_dir: Path) -> None:
    popular = [f"list-{playlist}" for playlist in bundle.popular[:5]]
    assert Model.of(bundle_dir).rank(["nobody", f"user-{NO_PAIRING}", "user-1"])[:2] == [popular, popular]
    assert Model.of(bundle_dir).rank([]) == []
