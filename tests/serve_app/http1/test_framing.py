"""Messages, deadlines and statuses as they stand in HTTP/1.1, worked out by hand from gRPC's specification."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from spotify_buddies.serve_app.http1.framing import answer, percent_encoded, refusal, seconds_of


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [
        (b"2H", 7_200.0), (b"3M", 180.0), (b"5S", 5.0), (b"250m", 0.25), (b"10u", 1e-5), (b"99999999n", 0.099999999),
        (b"0m", 0.0), (b"", None), (b"S", None), (b"5", None), (b"123456789S", None), (b"-1S", None), (b"1.5S", None),
        (b"5s", None), (b"5 S", None),
    ],
)  # fmt: skip
def test_a_timeout_is_up_to_eight_digits_and_a_unit(timeout: bytes, seconds: float | None) -> None:
    assert seconds_of(timeout) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("details", "encoded"),
    [
        ("plain, with 'signs' ~", b"plain, with 'signs' ~"),
        ("100%", b"100%25"),
        ("a\r\nx: b", b"a%0D%0Ax: b"),
        ("süß", b"s%C3%BC%C3%9F"),
        (" at both ends ", b"%20at both ends%20"),
        ("   ", b"%20%20%20"),
        ("", b""),
        ("\ud800", b"?"),
    ],
)
def test_a_message_for_people_is_percent_encoded(details: str, encoded: bytes) -> None:
    assert percent_encoded(details) == encoded
    assert "\ud800" in details or unquote(encoded.decode()) == details


def test_an_answer_is_one_chunk_and_its_trailers() -> None:
    head, _, body = answer(b"abc", [("x-bin", b"\0\1"), ("y", "z")]).partition(b"\r\n\r\n")
    assert head.splitlines() == [
        b"HTTP/1.1 200 OK", b"content-type: application/grpc", b"grpc-accept-encoding: identity,deflate,gzip",
        b"transfer-encoding: chunked",
    ]  # fmt: skip
    assert body == b"8\r\n\0\0\0\0\3abc\r\n0\r\ngrpc-status: 0\r\nx-bin: AAE\r\ny: z\r\n\r\n"
    assert answer(b"").partition(b"\r\n\r\n")[2] == b"5\r\n\0\0\0\0\0\r\n0\r\ngrpc-status: 0\r\n\r\n"


def test_a_refusal_has_no_body_and_the_last_one_ends_the_connection() -> None:
    lines = refusal(5, "no", [("y", "z")], last=True).split(b"\r\n")
    assert lines[3:] == [
        b"content-length: 0", b"connection: close", b"grpc-status: 5", b"grpc-message: no", b"y: z", b"", b"",
    ]  # fmt: skip
    assert b"connection" not in refusal(5, "no") + answer(b"")
    assert b"connection: close\r\n" in answer(b"", last=True)


@pytest.mark.parametrize(("name", "value"), [("x", "a\r\nb"), ("x\r\ny", "a"), ("x", "ü"), ("x", "a\0")])
def test_what_would_be_another_trailer_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="cannot be a trailer"):
        answer(b"", [(name, value)])
