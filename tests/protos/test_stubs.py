"""The committed stubs are what the protos say."""

from pathlib import Path

import pytest

from protos import generate
from protos.buddies.v1 import recommender_pb2 as pb


def test_regenerating_gives_the_committed_stubs(tmp_path: Path) -> None:
    fresh = generate.generate(tmp_path)
    assert [path.name for path in fresh] == [
        "recommender_pb2.py",
        "recommender_pb2.pyi",
        "recommender_pb2_grpc.py",
        "recommender_pb2_grpc.pyi",
    ]
    for path in fresh:
        committed = generate.ROOT / path.relative_to(tmp_path)
        assert path.read_text() == committed.read_text(), f"{committed} is out of date; run `make protos`"


@pytest.mark.parametrize("message", list(pb.DESCRIPTOR.message_types_by_name.values()), ids=lambda m: m.name)
def test_field_numbers_are_dense_so_that_a_reused_one_shows(message: object) -> None:
    numbers = sorted(field.number for field in message.fields)  # type: ignore[attr-defined]
    assert numbers == list(range(1, len(numbers) + 1))
