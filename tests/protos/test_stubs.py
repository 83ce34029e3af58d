"""The committed stubs are what the protos say."""

from pathlib import Path

import pytest

from spotify_buddies.protos import document, generate
from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb


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


def test_the_page_of_the_api_is_what_the_proto_says() -> None:
    page = document.document(generate.PROTO)
    assert page == document.API.read_text(encoding="utf-8"), f"{document.API} is out of date; run `make protos`"


def test_the_page_names_every_method_field_and_value() -> None:
    page = document.API.read_text(encoding="utf-8")
    found = pb.DESCRIPTOR
    messages, enums = found.message_types_by_name.values(), found.enum_types_by_name.values()
    names = [f"### {method.name}\n" for method in found.services_by_name["RecommenderService"].methods]
    names += [f"| `{field.name}` | {field.number} |" for message in messages for field in message.fields]
    names += [f"| `{value.name}` | {value.number} |" for enum in enums for value in enum.values]
    assert [name for name in names if name not in page] == []


def test_the_page_shows_types_and_ranges() -> None:
    page = document.API.read_text(encoding="utf-8")
    assert "| `limit` | 3 | optional int32 | Playlists per listener, 1 to 100. Default (unset): 5. |" in page
    assert "| `name` | 2 | [SongName](#songname), one of `by` | Title and artist. |" in page
    assert "[RecommendStreamRequest](#recommendstreamrequest) to stream of [RecommendStreamResponse]" in page
