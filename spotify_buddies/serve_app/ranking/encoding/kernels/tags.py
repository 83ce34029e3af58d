"""Tags of the proto's fields: field number * 8 + wire type. A test compares them with the proto's descriptor.

Of numpy's type: a kernel that takes a plain int of Python is compiled anew for every value that it is called with.
"""

from __future__ import annotations

import numpy as np

RECOMMENDATION = np.int64(0x0A)

USER_ID = np.int64(0x0A)
RECOMMENDATION_ID = np.int64(0x12)
PLAYLIST = np.int64(0x1A)
SOURCE = np.int64(0x30)
UNKNOWN_SONGS = np.int64(0x40)

PLAYLIST_ID = np.int64(0x0A)
TITLE = np.int64(0x12)
OWNER_ID = np.int64(0x1A)
SCORE = np.int64(0x25)
REASON = np.int64(0x2A)

SHARED_SONGS = np.int64(0x08)
EXAMPLE = np.int64(0x12)
TEXT = np.int64(0x1A)
KIND = np.int64(0x20)
ARTIST_SONGS = np.int64(0x28)
ARTIST = np.int64(0x32)
COMMON_FOLLOWERS = np.int64(0x38)

SONG_TITLE = np.int64(0x0A)
SONG_ARTIST = np.int64(0x12)

# Hexadecimal digits of a recommendation id.
ID_BYTES = 32
