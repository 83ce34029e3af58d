"""Parquet files as other programs write them: types of columns, and parts in folders."""

from __future__ import annotations

import datetime
import decimal
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spotify_buddies.trainer.dataset.errors import DataError, Skipped
from spotify_buddies.trainer.dataset.reading.rows import table_rows
from spotify_buddies.trainer.dataset.reading.tables.parts import fingerprint

COLUMNS = ("user_id", "title", "artist")


def rows(path: Path, skipped: Skipped | None = None) -> list[tuple[str, ...]]:
    return [fields for _, fields in table_rows(path, COLUMNS, ("plays",), skipped or Skipped())]


def column(name: str, values: pa.Array, tmp_path: Path, skipped: Skipped | None = None) -> list[str]:
    """What is read of a column that stands beside plain ones."""
    plain = pa.array([f"x{i}" for i in range(len(values))])
    table = pa.table({other: values if other == name else plain for other in (*COLUMNS, "plays")})
    path = tmp_path / "listens.parquet"
    pq.write_table(table, path)
    place = (*COLUMNS, "plays").index(name)
    return [row[place] for row in rows(path, skipped)]


def refused(call, *arguments) -> str:
    with pytest.raises(DataError) as caught:
        call(*arguments)
    return str(caught.value)


TEXTS = ["Café", None, ""]


@pytest.mark.parametrize(
    "values",
    [
        pa.array(TEXTS),
        pa.array(TEXTS, pa.large_string()),
        pa.array(TEXTS, pa.string_view()),
        pa.array(TEXTS).dictionary_encode(),
        pa.array(TEXTS).cast(pa.binary()),
        pa.array(TEXTS).cast(pa.large_binary()),
        pa.array(TEXTS).cast(pa.binary()).dictionary_encode(),
    ],
    ids=lambda values: str(values.type),
)
@pytest.mark.parametrize("name", COLUMNS)
def test_a_text_is_read_whatever_type_holds_it(tmp_path, values, name):
    assert column(name, values, tmp_path) == ["Café", "", ""]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([7, None, -3], pa.int8()),
        pa.array([7, None, -3], pa.int64()),
        pa.array([7.0, None, -3.0]),
        pa.array([7.0, float("nan"), -3.0]),
        pa.array([7.0, None, -3.0], pa.float32()),
        pa.array([decimal.Decimal("7.00"), None, decimal.Decimal("-3.00")]),
    ],
    ids=lambda values: str(values.type),
)
def test_a_whole_number_is_written_as_one_whatever_type_holds_it(tmp_path, values):
    assert column("user_id", values, tmp_path) == ["7", "", "-3"]


def test_large_ids_are_exact_or_refused(tmp_path):
    assert column("user_id", pa.array([2**64 - 1], pa.uint64()), tmp_path) == [str(2**64 - 1)]
    assert column("user_id", pa.array([float(2**53 - 1)]), tmp_path) == [str(2**53 - 1)]
    message = refused(column, "user_id", pa.array([1.0, float(2**53)]), tmp_path)
    assert "row 2: the user_id (of type double) is 9.0072e+15, a float too large to be exact" in message


def test_a_fixed_number_of_bytes_is_a_text(tmp_path):
    assert column("user_id", pa.array([b"abcd", None], pa.binary(4)), tmp_path) == ["abcd", ""]


def test_a_uuid_is_written_as_people_write_it(tmp_path):
    values = pa.array([uuid.UUID(int=5).bytes, None], pa.uuid())
    assert column("user_id", values, tmp_path) == ["00000000-0000-0000-0000-000000000005", ""]


def test_a_column_of_nothing_is_empty(tmp_path):
    assert column("plays", pa.nulls(2), tmp_path) == ["", ""]


@pytest.mark.parametrize("kind", ["binary", "string", "dictionary"])
def test_bytes_that_are_no_text_are_refused_or_cost_their_row(tmp_path, kind):
    values = pa.array([b"a", b"\xff\xfe", b"c"])
    if kind == "string":  # as a program writes that does not check
        values = pa.Array.from_buffers(pa.string(), 3, values.buffers())
    if kind == "dictionary":
        values = values.dictionary_encode()
    assert "row 2: the user_id (of type " in refused(column, "user_id", values, tmp_path)
    skipped = Skipped(allowed=True)
    assert column("user_id", values, tmp_path, skipped) == ["a", "c"]
    assert (skipped.files, skipped.lines) == (0, 1)
    assert "is not UTF-8 text" in skipped.listed[0]


ARTISTS = [["Ann", "Bo"], [], None, ["", "Cy"], [None, "Di"]]


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.string()), pa.large_list(pa.large_string()), pa.list_(pa.binary())],
    ids=str,
)
def test_of_a_list_of_artists_the_first_one_counts(tmp_path, kind):
    values = pa.array([[None if name is None else name.encode() for name in row or []] for row in ARTISTS])
    plain = pa.array(ARTISTS, pa.list_(pa.string()))
    values = values.cast(kind) if kind == pa.list_(pa.binary()) else plain.cast(kind)
    assert column("artist", values, tmp_path) == ["Ann", "", "", "Cy", "Di"]


def test_artists_as_objects_are_read_by_their_name(tmp_path):
    objects = [[{"id": 1, "name": "Ann"}, {"id": 2, "name": "Bo"}], [], None]
    assert column("artist", pa.array(objects), tmp_path) == ["Ann", "", ""]
    assert column("artist", pa.array([{"id": 1, "name": "Ann"}, None]), tmp_path) == ["Ann", ""]


MOMENT = datetime.datetime(2020, 1, 2, 3)
IN_INDIA = MOMENT.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=5, minutes=30)))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (pa.array([MOMENT, None]), "2020-01-02 03:00:00.000000"),
        (pa.array([MOMENT, None], pa.timestamp("ns")), "2020-01-02 03:00:00.000000"),
        (pa.array([IN_INDIA, None], pa.timestamp("ms", "+05:30")), "2020-01-01 21:30:00.000000Z"),
        (pa.array([MOMENT.date(), None]), "2020-01-02"),
    ],
)
def test_times_are_texts_where_a_time_is_wanted(tmp_path, values, text):
    path = tmp_path / "follows.parquet"
    pq.write_table(pa.table({"user_id": ["u", "v"], "at": values}), path)
    found = [fields[1] for _, fields in table_rows(path, ("user_id",), ("at",), Skipped())]
    assert found == [text, ""]
    datetime.datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user_id", True),
        ("user_id", MOMENT),
        ("title", MOMENT.date()),
        ("title", MOMENT.time()),
        ("title", datetime.timedelta(1)),
        ("user_id", ["u"]),
        ("title", {"name": "x"}),
        ("artist", [["Ann"]]),
        ("artist", [{"id": 1}]),
        ("artist", [MOMENT]),
        ("plays", True),
    ],
)
def test_a_type_without_a_text_is_refused_with_column_and_type(tmp_path, name, value):
    values = pa.array([value])
    message = refused(column, name, values, tmp_path)
    place = (*COLUMNS, "plays").index(name) + 1
    kind = str(values.type).replace("item", "element")  # as Parquet calls it
    assert f"listens.parquet: schema, column {place}: column {name} is of type {kind}, which has no" in message


def test_other_columns_may_be_of_any_type_and_are_noted(tmp_path):
    path = tmp_path / "listens.parquet"
    table = pa.table({"USER ID": [1], "played_at": [MOMENT], "title": ["a"], "Artist": [["A"]], "more": [{"a": [1]}]})
    pq.write_table(table, path)
    skipped = Skipped()
    assert rows(path, skipped) == [("1", "a", "A", "")]
    assert skipped.unread == {"listens.parquet": ["played_at", "more"]}


def test_a_group_of_rows_that_is_broken_costs_its_rows_alone(tmp_path):
    path = tmp_path / "listens.parquet"
    table = pa.table({name: [f"{name} {i * 7919 % 9973}" for i in range(3_000)] for name in COLUMNS})
    pq.write_table(table, path, row_group_size=1_000, compression="zstd", use_dictionary=False)
    middle = pq.ParquetFile(path).metadata.row_group(1).column(1)
    content = bytearray(path.read_bytes())
    start = middle.data_page_offset + middle.total_compressed_size // 2
    content[start : start + 40] = b"\xff" * 40
    path.write_bytes(content)
    assert "row 1,001 to 2,000: broken Parquet" in refused(rows, path)
    skipped = Skipped(allowed=True)
    assert [row[0] for row in rows(path, skipped)] == table["user_id"].to_pylist()[:1_000] + table[
        "user_id"
    ].to_pylist()[2_000:]
    assert (skipped.files, skipped.lines) == (0, 1_000)


def part(path: Path, *users: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"user_id": list(users), "title": ["t"] * len(users), "artist": ["A"] * len(users)}), path)
    return path


def test_a_folder_of_parts_is_one_table_read_in_the_order_of_names(tmp_path):
    table = tmp_path / "listens.parquet"
    part(table / "part-00001-b.snappy.parquet", "c")
    part(table / "part-00000-a", "a", "b")
    part(table / "part-00002-none.parquet")
    for name in ("_SUCCESS", "part-00003.parquet"):
        (table / name).touch()
    for name in (".part-00000-a.crc", "_metadata", "_temporary/0/part-00009", ".hidden/part-1"):
        (table / name).parent.mkdir(parents=True, exist_ok=True)
        (table / name).write_bytes(b"no table")
    skipped = Skipped()
    found = list(table_rows(table, COLUMNS, (), skipped))
    assert [(where, fields[0]) for where, fields in found] == [
        ("part-00000-a: row 1", "a"),
        ("part-00000-a: row 2", "b"),
        ("part-00001-b.snappy.parquet: row 1", "c"),
    ]
    assert skipped.unread == {}


def test_folders_may_name_columns(tmp_path):
    table = tmp_path / "listens.parquet"
    for user, bucket in (("x%20y", 3), ("__HIVE_DEFAULT_PARTITION__", 4)):
        path = table / f"user_bucket={bucket}" / f"user_id={user}" / "part-0.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.table({"title": ["t"], "artist": ["A"]}), path)
    skipped = Skipped()
    assert rows(table, skipped) == [("x y", "t", "A", ""), ("", "t", "A", "")]
    assert skipped.unread == {"listens.parquet": ["user_bucket"]}


def test_folders_may_hold_parts_of_csv(tmp_path):
    table = tmp_path / "listens.csv"
    table.mkdir()
    (table / "part-1.csv").write_text("user_id,title,artist\nv,t\n")
    (table / "part-0.csv").write_text("artist,title,user_id\nA,t,u\n")
    assert "listens.csv: part-1.csv: line 2: 2 fields where the header has 3" in refused(rows, table)
    assert rows(table, Skipped(allowed=True)) == [("u", "t", "A", "")]


def test_a_bad_part_is_refused_with_its_name_or_costs_itself(tmp_path):
    table = tmp_path / "listens.parquet"
    part(table / "part-0.parquet", "a")
    (table / "part-1.parquet").write_bytes(b"no table")
    part(table / "part-2.parquet", "b")
    assert f"{table}: part-1.parquet: row 0: not a Parquet file" in refused(rows, table)
    skipped = Skipped(allowed=True)
    assert [row[0] for row in rows(table, skipped)] == ["a", "b"]
    assert skipped.files == 1


def test_a_folder_without_parts_is_refused(tmp_path):
    table = tmp_path / "listens.parquet"
    table.mkdir()
    (table / "_SUCCESS").touch()
    assert "listens.parquet: a folder without parts of a table" in refused(rows, table)


def test_the_fingerprint_of_a_folder_covers_content_order_and_folders_but_no_names_of_parts(tmp_path):
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    part(one / "part-0-aaaa", "a")
    part(one / "day=1" / "part-1-aaaa", "b")
    part(two / "part-0-bbbb", "a")
    moved = part(two / "day=1" / "part-1-bbbb", "b")
    (two / "_SUCCESS").touch()
    assert fingerprint(one) == fingerprint(two)
    seen = {fingerprint(one)}
    part(moved, "c")
    seen.add(fingerprint(two))
    part(moved, "b")
    moved.parent.rename(two / "day=2")
    seen.add(fingerprint(two))
    assert len(seen) == 3
