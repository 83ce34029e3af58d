"""The same small synthetic data set, once with dirt and once without."""

from __future__ import annotations

import pytest

from spotify_buddies.trainer.synth.write import synthesise
from tests.trainer.synth.written import LISTS, SONGS, USERS, Written, read


@pytest.fixture(scope="session")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("dirty")
    return read(folder, synthesise(folder, users=USERS, playlists=LISTS, songs=SONGS, seed=7))


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("clean")
    return read(folder, synthesise(folder, users=USERS, playlists=LISTS, songs=SONGS, seed=7, dirt=False))
