"""`buddies user`: documents, receipts, and exit codes where a store is away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from spotify_buddies.clients.main import build_app
from spotify_buddies.foundation.text.pseudonym import KEY_FILE, key_name, pseudonym
from spotify_buddies.trainer.dataset.erased import read_erased
from tests.serve_app.store.rights.planted import ID, OTHER, Planted, in_postgres, in_redis


@pytest.fixture
def called(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `buddies user` on what is planted; env: other addresses."""
    state = planted.places.state_dir
    assert state is not None
    given = {
        "BUDDIES_POSTGRES_URL": planted.places.postgres_url,
        "BUDDIES_REDIS_URL": str(planted.places.redis_url),
        "BUDDIES_STATE_DIR": str(state),
    }

    def run(*arguments: str, **env: str) -> Result:
        for name, value in {**given, **env}.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(build_app(), ["user", *arguments])

    return run


def test_an_export_holds_everything_of_the_listener_and_nothing_of_others(
    planted: Planted, called: Any, tmp_path: Path, bundle_dir: Path
) -> None:
    bundles = tmp_path / "bundles"
    bundles.mkdir()
    (bundles / "7").symlink_to(bundle_dir)
    out = tmp_path / "listener.json"
    done = called("export", ID, "--out", str(out), "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"file": str(out), "bytes": out.stat().st_size}
    assert out.stat().st_mode & 0o777 == 0o600
    document = json.loads(out.read_text())
    assert {name: len(rows) for name, rows in document["rows"].items()} == {
        "feedback": 1, "impressions": 4, "reactions": 1, "wishes": 1,
    }  # fmt: skip
    assert [len(one["playlists"]) > 0 for one in document["daily_lists"]] == [True]
    assert sorted(one["job"] for one in document["jobs"]) == ["answered", "answered", "both", f"{ID}-alone"]
    assert [row["liked"] for row in document["extracts"]] == ["a", "d"]
    assert OTHER not in out.read_text()


def test_an_export_of_a_stranger_is_an_empty_document(called: Any) -> None:
    done = called("export", "nobody")
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert (document["rows"], document["daily_lists"], document["jobs"], document["extracts"]) == ({}, [], [], [])


def test_an_erasure_prints_its_receipt(called: Any, planted: Planted, tmp_path: Path) -> None:
    done = called("erase", ID, "--yes", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    receipt = json.loads(done.stdout)
    key = (tmp_path / KEY_FILE).read_bytes()
    assert (receipt["complete"], receipt["left"]) == (True, [])
    assert (receipt["listener"], receipt["key"]) == (pseudonym(key, ID).hex(), key_name(key).hex())
    assert in_postgres(planted.places.postgres_url, ID) == []
    # The bundle is not where the command looks for bundles, so the list of the day, which holds no id, may stay.
    assert any("a list of the day of version 7" in note for note in receipt["notes"])


def test_the_files_that_an_erasure_does_not_reach_are_named_on_request(called: Any, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "listens.csv").write_text(f"x,{OTHER}\n" * 200_000 + f"y,{ID}\n")
    (tmp_path / "raw" / "others.csv").write_text(f"x,{OTHER}\n")
    done = called("erase", ID, "--yes", "--json", "--search")
    assert done.exit_code == 0
    named = [note for note in json.loads(done.stdout)["notes"] if note.endswith(" holds the id")]
    assert named == [f"{tmp_path / 'raw' / 'listens.csv'} holds the id"]


def test_without_yes_it_asks_and_no_changes_nothing(called: Any, planted: Planted) -> None:
    done = called("erase", ID)
    assert done.exit_code == 1
    assert in_postgres(planted.places.postgres_url, ID) != []


def test_while_postgres_is_away_nothing_is_done(called: Any, planted: Planted, tmp_path: Path) -> None:
    before = in_redis(planted.redis, ID)
    done = called("erase", ID, "--yes", BUDDIES_POSTGRES_URL=f"postgresql:///x?host={tmp_path}")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert in_redis(planted.redis, ID) == before != []


def test_while_redis_is_away_the_rest_is_done_and_a_repetition_does_what_was_left(
    called: Any, planted: Planted, tmp_path: Path
) -> None:
    away = called("erase", ID, "--yes", "--json", BUDDIES_REDIS_URL=f"unix://{tmp_path}/none")
    assert away.exit_code == 1
    receipt = json.loads(away.stdout)
    assert not receipt["complete"]
    assert [sentence.startswith("Redis failed") for sentence in receipt["left"]] == [True]
    assert in_postgres(planted.places.postgres_url, ID) == []
    assert in_redis(planted.redis, ID) != []
    again = called("erase", ID, "--yes", "--json")
    assert again.exit_code == 0
    assert in_redis(planted.redis, ID) == []


def test_hashes_of_the_erased_are_written_and_forgotten(called: Any, tmp_path: Path) -> None:
    called("erase", ID, "--yes")
    done = called("erased", "--hashes", str(tmp_path / "erased.json"), "--json")
    assert json.loads(done.stdout)["listeners"] == 1
    (one,) = json.loads((tmp_path / "erased.json").read_text())["listeners"]
    assert one["listener"] == pseudonym((tmp_path / KEY_FILE).read_bytes(), ID).hex()
    # As `buddies data build --erased` reads them.
    known = read_erased(tmp_path / "erased.json", tmp_path / KEY_FILE)
    assert [user in known for user in (ID, OTHER)] == [True, False]
    assert json.loads(called("readmit", "--before", "2026-01-01", "--json").stdout) == {"erasures": 0}
    assert json.loads(called("readmit", "--before", "2100-01-01", "--json").stdout) == {"erasures": 1}


def test_a_time_that_is_none_is_wrong_usage(called: Any) -> None:
    assert called("readmit", "--before", "yesterday").exit_code == 2
