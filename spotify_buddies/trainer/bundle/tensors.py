"""Memory-mapped views of a safetensors file; the library's own reader copies every tensor into private memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_Bytes = npt.NDArray[np.uint8]
_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
}


def map_tensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Every tensor of the file by name, read-only views of one mapping.

    Format: 8 bytes header length (little-endian), a JSON header {name: {dtype, shape, data_offsets}}, then the data
    (https://github.com/huggingface/safetensors#format). ValueError when the file is not that.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= path.stat().st_size - 8:
            raise ValueError(f"{path}: not a safetensors file (header of {length} bytes)")
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError(f"{path}: not a safetensors file (the header is no object)")
    empty = path.stat().st_size == 8 + length
    data: _Bytes = np.empty(0, np.uint8) if empty else np.memmap(path, np.uint8, mode="r", offset=8 + length)
    return {name: _view(data, entry) for name, entry in header.items() if name != "__metadata__"}


def _view(data: _Bytes, entry: dict[str, Any]) -> npt.NDArray[Any]:
    begin, end = entry["data_offsets"]
    if entry["dtype"] not in _DTYPES or not 0 <= begin <= end <= data.size:
        raise ValueError(f"tensor of type {entry['dtype']} at {begin}..{end} cannot be mapped")
    return data[begin:end].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
