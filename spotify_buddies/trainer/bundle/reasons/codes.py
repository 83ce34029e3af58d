"""What `candidate_reasons` of a bundle says of a candidate, in a byte: the first of these that holds, in this order.

OWNER: its owner shares a song with the user. SONGS: the playlist holds a song of the user's. ARTISTS: it holds a song
by an artist of the user's songs. ARTISTS + n: n of the user's co-followers follow it. TASTE: none of them. NOT_SAID:
whoever serves has to look. As in the proto, but for the numbers of followers, which nothing else has to count then.
"""

from __future__ import annotations

NOT_SAID, TASTE, OWNER, SONGS, ARTISTS = 0, 1, 2, 3, 4
MOST_CODE = 255
# Of more followers the byte says nothing.
MOST_FOLLOWERS = MOST_CODE - ARTISTS
