"""Columns of a Parquet file as texts, whatever type holds them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

Value = TypeVar("Value")

_EXACT = 1 << 53  # from here on a float stands for several whole numbers
_STRING_VIEWS = (pa.string_view(), pa.binary_view())


@dataclass(frozen=True)
class Texts:
    """A text per row, empty where nothing is there. faults: what is wrong, by row."""

    values: list[str]
    faults: dict[int, str] = field(default_factory=dict)


def readable(kind: pa.DataType, *, artist: bool = False, time: bool = False) -> bool:
    """Whether `texts` reads a type: texts, bytes, whole and other numbers, categories of them, nothing at all.

    artist: lists of them, too, and objects with a name, or lists of such. time: times and dates, too.
    """
    kind = _plain(kind)
    if artist and _is_list(kind):
        return readable(_named(_plain(kind.value_type)))
    if artist and pa.types.is_struct(kind):
        named = _named(kind)
        return named != kind and readable(named)
    if time and (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return True
    checks = (_is_text, _is_bytes, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return any(check(kind) for check in checks)


def texts(column: pa.Array) -> Texts:
    """The texts of a column of a readable type.

    A whole number is written without a point, whether it is an integer, a float or a decimal; NaN is no value. Bytes
    are UTF-8. Times are ISO 8601. Of a list the first entry that is not empty counts, of an object its name. A row that
    has no text, since its bytes are no UTF-8 or since a float is too large to be exact, is a fault.
    """
    if isinstance(column.type, pa.UuidType):
        return _each(column.to_pylist(), str)
    column = _decoded(column)
    kind = column.type
    if pa.types.is_null(kind):
        return Texts([""] * len(column))
    if _is_list(kind):
        return _first(column)
    if pa.types.is_struct(kind):
        return texts(pc.struct_field(column, "name"))
    if pa.types.is_timestamp(kind):
        # Cast to text, one that has a time zone ends in Z.
        column = column.cast(pa.timestamp("us", "UTC" if kind.tz else None), safe=False)
    if pa.types.is_integer(kind) or pa.types.is_temporal(kind):
        return Texts(pc.fill_null(column.cast(pa.large_string()), "").to_pylist())
    if pa.types.is_floating(kind):
        return _each(column.cast(pa.float64()).to_pylist(), _number)
    if pa.types.is_decimal(kind):
        return _each(column.to_pylist(), _decimal)
    return _strings(column)


def _strings(column: pa.Array) -> Texts:
    try:
        # Cast to text, bytes are checked to be UTF-8; what is text already is not, and decoding may fail.
        text = column if _is_text(column.type) else column.cast(pa.large_binary()).cast(pa.large_string())
        return Texts([value or "" for value in text.to_pylist()])
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return _each(column.cast(pa.large_binary()).to_pylist(), bytes.decode)


def _each(values: Iterable[Value | None], text: Callable[[Value], str]) -> Texts:
    result = Texts([])
    for row, value in enumerate(values):
        try:
            result.values.append("" if value is None else text(value))
        except ValueError as error:  # UnicodeDecodeError, too
            problem = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
            result.faults[row] = problem
            result.values.append("")
    return result


def _number(value: float) -> str:
    if math.isnan(value):
        return ""
    if not value.is_integer():
        return str(value)
    if abs(value) >= _EXACT:
        raise ValueError(f"is {value:g}, a float too large to be exact; write it as a whole number or a text")
    return str(int(value))


def _decimal(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _first(column: pa.Array) -> Texts:
    entries = column.cast(_exact_list(column.type)).to_pylist()
    firsts = [next((entry for entry in row or () if entry), None) for row in entries]
    return texts(pa.array(firsts, _exact_list(column.type).value_type))


def _exact_list(kind: pa.DataType) -> pa.ListType:
    """The list type whose entries to_pylist can always give: bytes for texts, which may not be UTF-8."""
    entry = _plain(kind.value_type)
    return pa.large_list(pa.large_binary() if _is_text(entry) or _is_bytes(entry) else entry)


def _decoded(column: pa.Array) -> pa.Array:
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        return _decoded(column.dictionary_decode())
    return _decoded(pc.run_end_decode(column)) if pa.types.is_run_end_encoded(column.type) else column


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type of what `_decoded` gives."""
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(kind.storage_type)
    is_packed = pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind)
    return _plain(kind.value_type) if is_packed else kind


def _named(kind: pa.DataType) -> pa.DataType:
    """The type of an object's name, or the type as it is."""
    named = pa.types.is_struct(kind) and kind.get_field_index("name") >= 0
    return _plain(kind.field("name").type) if named else kind


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == _STRING_VIEWS[0])


def _is_bytes(kind: pa.DataType) -> bool:
    fixed = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    return bool(fixed or kind == _STRING_VIEWS[1])
