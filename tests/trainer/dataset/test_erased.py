"""Data sets without erased listeners: nothing of them is in any file, as if the raw files did not hold them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from spotify_buddies.clients.main import build_app
from spotify_buddies.foundation.arrays.csr import Csr
from spotify_buddies.foundation.text.pseudonym import key_name, pseudonym
from spotify_buddies.pairing.build import build_pairing
from spotify_buddies.pairing.settings import PairingSettings
from spotify_buddies.trainer.bundle import open_bundle
from spotify_buddies.trainer.dataset.erased import Erased, read_erased
from spotify_buddies.trainer.dataset.errors import DataError
from spotify_buddies.trainer.dataset.table import RAW
from spotify_buddies.trainer.publish.release import train_and_release
from spotify_buddies.trainer.settings import DataSettings, TrainSettings
from tests.trainer.dataset.builds import build, contents
from tests.trainer.dataset.follow_data import write_follow_data
from tests.trainer.dataset.mixed_exports import mixed_exports

KEY = b"0123456789abcdef-test-key"
SETTINGS = DataSettings(validation_negatives=20, hard_pool=0.5)
# Listens and owns; listens, follows and owns; follows alone; and nobody of the files.
GONE = ("listener-10", "listener-33", "follower-77", "nobody-9")
# Known by a dislike alone, which nobody can be: messages would name them.
STRANGER = "stranger-77x"


def hashes(*user_ids: str, key: bytes = KEY) -> Erased:
    return Erased(key, frozenset(pseudonym(key, user_id) for user_id in user_ids))


def document(*user_ids: str, key: bytes = KEY) -> dict[str, Any]:
    """As `buddies user erased --hashes` writes it."""
    listeners = [
        {"listener": pseudonym(key, user).hex(), "key": key_name(key).hex(), "erased_at": "2026-11-28T00:00:00+00:00"}
        for user in user_ids
    ]
    return {"at": "2026-11-28T00:00:00+00:00", "hash": "HMAC-SHA256", "listeners": listeners}


def holding(directory: Path, user_id: str) -> Iterator[str]:
    """Files whose bytes, or texts in whose packed columns, hold an id as a whole word."""
    wanted = user_id.encode()
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        found = wanted in path.read_bytes()
        if path.suffix == ".parquet":
            texts = pl.read_parquet(path).select(pl.col(pl.String))
            found = found or any(user_id in (text or "") for column in texts for text in column)
        if found:
            yield str(path.relative_to(directory))


def without(raw: Path, to: Path, *user_ids: str) -> Path:
    """The raw files written again without these users, and without what is said of the playlists that they own."""
    to.mkdir()
    playlists = pl.read_csv(raw / "playlists.csv")
    owned = playlists.filter(pl.col("owner_id").is_in(user_ids))["playlist_id"].unique()
    playlists.filter(~pl.col("playlist_id").is_in(owned.implode())).write_csv(to / "playlists.csv")
    pl.read_csv(raw / "listens.csv").filter(~pl.col("user_id").is_in(user_ids)).write_csv(to / "listens.csv")
    for name in ("follows.parquet", "dislikes.csv"):
        table = pl.read_parquet(raw / name) if name.endswith("parquet") else pl.read_csv(raw / name)
        kept = table.filter(~pl.col("user_id").is_in(user_ids), ~pl.col("playlist_id").is_in(owned.implode()))
        kept.write_parquet(to / name) if name.endswith("parquet") else kept.write_csv(to / name)
    return to


def read(directory: Path) -> dict[str, Any]:
    """What part 1 holds, by names."""
    part = directory / RAW
    users = pl.read_parquet(part / "users.parquet")["user_id"].to_list()
    playlists = pl.read_parquet(part / "playlists.parquet")
    songs = [(s["title"], s["artist"], s["song_id"]) for s in pl.read_parquet(part / "songs.parquet").to_dicts()]
    said = pl.read_parquet(part / "interactions.parquet").to_dicts() if (part / "interactions.parquet").exists() else []
    ids = playlists["playlist_id"].to_list()

    def rows(name: str, of: list[str]) -> dict[str, list[Any]]:
        held = Csr.load(part, name)
        assert (held.rows, held.columns) == (len(of), len(songs))
        return {one: sorted(map(str, (songs[song] for song in held.row(row)))) for row, one in enumerate(of)}

    return {
        "users": users,
        "playlists": playlists.to_dicts(),
        "songs": sorted(map(str, songs)),
        "listens": rows("listens", users),
        "tracks": rows("tracks", ids),
        "said": [{**row, "user": users[row["user"]], "playlist": ids[row["playlist"]]} for row in said],
    }


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write_follow_data(tmp_path_factory.mktemp("erased") / "raw")
    dislikes = pl.read_csv(made / "dislikes.csv")
    one = {"user_id": STRANGER, "playlist_id": "list-10", "at": 1_600_000_000}
    pl.concat([dislikes, pl.DataFrame([one])]).write_csv(made / "dislikes.csv")
    listens = pl.read_csv(made / "listens.csv")
    # A song that nobody else has, in front of all others: codes move.
    rare = pl.DataFrame([{"user_id": GONE[0], "title": "only mine", "artist": "nobody else's"}])
    pl.concat([rare, listens]).write_csv(made / "listens.csv")
    # Follows nothing but what an erased listener owns.
    follows = pl.read_parquet(made / "follows.parquet")
    only = pl.DataFrame([{"user_id": "fan-of-one", "playlist_id": "list-10", "at": 1_600_000_000}])
    pl.concat([follows, only]).write_parquet(made / "follows.parquet")
    return made


@pytest.fixture(scope="module")
def plain(raw: Path) -> Path:
    """The data set with everybody in it."""
    build(raw, raw.parent / "plain", SETTINGS)
    return raw.parent / "plain"


def test_no_file_of_the_data_set_and_of_the_bundle_holds_an_id(raw: Path, plain: Path, tmp_path: Path) -> None:
    assert [user for user in (*GONE, STRANGER) if not any(holding(plain, user))] == ["nobody-9"]
    data, pairing = tmp_path / "after", tmp_path / "after" / "pairing"
    summary = build(raw, data, SETTINGS, erased=hashes(*GONE, STRANGER))
    build_pairing(data, pairing, PairingSettings(dimension=16, nearest=30))
    release = train_and_release(data, pairing, tmp_path / "state", TrainSettings(dimension=16, epochs=1))
    assert "listener-11" in list(open_bundle(release.bundle_dir).user_ids.table)
    for user in (*GONE, STRANGER):
        assert list(holding(data, user)) == list(holding(tmp_path / "state", user)) == []
    counts = summary.statistics[RAW]
    assert counts["erased_listeners_left_out"] == 4
    assert counts["playlists_of_erased_listeners"] > 0
    assert counts["users_who_followed_only_erased_listeners"] == 1
    assert counts["songs_of_erased_listeners_alone"] >= 1


def test_the_data_are_those_of_files_without_the_listeners(raw: Path, tmp_path: Path) -> None:
    gone = (*GONE, STRANGER)
    build(raw, tmp_path / "erased", SETTINGS, erased=hashes(*gone))
    build(without(raw, tmp_path / "raw", *gone), tmp_path / "cleaned", SETTINGS)
    ours, theirs = read(tmp_path / "erased"), read(tmp_path / "cleaned")
    assert "fan-of-one" not in ours["users"]
    assert not set(gone) & set(ours["users"])
    assert ours == theirs
    assert set(contents(tmp_path / "erased")) == set(contents(tmp_path / "cleaned"))


def test_exports_of_an_erased_listener_are_not_read(tmp_path: Path) -> None:
    raw, user = mixed_exports(tmp_path / "raw"), "anastasia-77"
    (raw / "ana").rename(raw / user)
    build(raw, tmp_path / "before", DataSettings())
    summary = build(raw, tmp_path / "after", DataSettings(), erased=hashes(user))
    assert list(holding(tmp_path / "before", user))
    assert list(holding(tmp_path / "after", user)) == []
    assert summary.statistics[RAW]["exports_of_erased_listeners"] > 0
    assert len(read(tmp_path / "after")["users"]) == len(read(tmp_path / "before")["users"]) - 1


def test_the_data_are_built_anew_when_others_are_erased_and_not_otherwise(
    raw: Path, plain: Path, tmp_path: Path
) -> None:
    shutil.copytree(plain, tmp_path, dirs_exist_ok=True)
    assert not build(raw, tmp_path, SETTINGS, erased=hashes()).ran
    one = build(raw, tmp_path, SETTINGS, erased=hashes("listener-1"))
    assert RAW in one.ran
    assert not build(raw, tmp_path, SETTINGS, erased=hashes("listener-1")).ran
    two = build(raw, tmp_path, SETTINGS, erased=hashes("listener-1", "listener-2"))
    assert RAW in two.ran
    assert one.fingerprint != two.fingerprint
    stamps = "".join(path.read_text() for path in tmp_path.rglob("*.json"))
    assert pseudonym(KEY, "listener-1").hex() not in stamps


def test_who_is_in_no_file_changes_nothing_but_is_asked_for(raw: Path, plain: Path, tmp_path: Path) -> None:
    summary = build(raw, tmp_path / "erased", SETTINGS, erased=hashes("nobody-9"))
    assert read(plain) == read(tmp_path / "erased")
    assert summary.statistics[RAW]["erased_listeners_left_out"] == 0
    arrays = {name: data for name, data in contents(plain).items() if name.endswith(".npy")}
    assert {name: contents(tmp_path / "erased")[name] for name in arrays} == arrays


def test_the_command_takes_the_file_that_the_service_writes(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "erased.json").write_text(json.dumps(document(*GONE)))
    (tmp_path / "key").write_bytes(KEY + b"\n")
    words = ["data", "build", str(raw), "--output", str(tmp_path / "data"), "--json"]
    words += ["--erased", str(tmp_path / "erased.json")]
    named = CliRunner().invoke(build_app(), [*words, "--erasure-key", str(tmp_path / "key")])
    assert named.exit_code == 0, named.output
    assert not set(GONE) & set(read(tmp_path / "data")["users"])
    assert '"erased_listeners_left_out": 3' in named.output
    assert not any(pseudonym(KEY, user).hex() in named.output for user in GONE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no document of hashes"),
        ("{}", "no 'listeners'"),
        ("[]", "no document of hashes"),
        ('{"listeners": [{"listener": "zz", "key": "00"}]}', "no document of hashes"),
        (json.dumps(document("ann", key=b"another key of 16 bytes")), "listeners[0]: its hash is of another key"),
        (json.dumps({"listeners": [{"listener": "00", "key": key_name(KEY).hex()}]}), "a hash of 1 bytes, not 32"),
    ],
)
def test_a_file_of_something_else_is_refused_with_the_place(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "erased.json").write_text(text)
    (tmp_path / "key").write_bytes(KEY)
    with pytest.raises(DataError) as error:
        read_erased(tmp_path / "erased.json", tmp_path / "key")
    assert said in str(error.value)


def test_without_a_key_nothing_is_built_and_none_is_made(tmp_path: Path) -> None:
    (tmp_path / "erased.json").write_text(json.dumps(document("ann")))
    with pytest.raises(DataError, match="no key of the hashes"):
        read_erased(tmp_path / "erased.json", tmp_path / "erasure-key")
    assert not (tmp_path / "erasure-key").exists()
    with pytest.raises(DataError, match="no document"):
        read_erased(tmp_path / "nowhere.json", tmp_path / "erasure-key")
    (tmp_path / "erasure-key").write_bytes(b"short")
    with pytest.raises(DataError, match="5 bytes"):
        read_erased(tmp_path / "erased.json", tmp_path / "erasure-key")


def test_a_hash_stands_for_its_listener_alone() -> None:
    erased = hashes("ann", "bob")
    assert [name in erased for name in ("ann", "bob", "Ann", "", "carl")] == [True, True, False, False, False]
    assert 3 not in erased
    assert erased.digest == hashes("bob", "ann").digest != hashes("ann").digest
    assert np.array([len(erased), len(hashes())]).tolist() == [2, 0]
