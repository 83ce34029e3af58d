"""Documented ranges of the API, as in protos/buddies/v1/recommender.proto; those of ids: foundation/text/ids.py."""

# Largest request: parsed it takes several times as much memory.
REQUEST_BYTES = 16 * 2**20
# How our gRPC servers are made, wherever they run.
SERVER_OPTIONS: list[tuple[str, int]] = [
    # What the front lets through (front/config.py), and 32 bytes that gRPC counts for each of 64 entries; beyond the
    # first of the two it begins to refuse calls at random.
    ("grpc.max_metadata_size", 12 * 2**10),
    ("grpc.absolute_max_metadata_size", 16 * 2**10),
    # gRPC would decompress a whole message before it compares its size with the limit.
    ("grpc.per_message_decompression", 0),
]
NAME_BYTES = 512
USERS = 1_000
TASTE_SONGS = 1_000
# In all tastes of one request: looking up names is Python and takes about 5 microseconds a song.
REQUEST_SONGS = 20_000
LIMIT_DEFAULT = 5
LIMIT_MOST = 100
OWNER_DEFAULT = 2
OVERLAP_DEFAULT = 0.8
CONTAINMENT_DEFAULT = 0.5
SEEN_DEFAULT_S = 60 * 86_400
SEEN_MOST_S = 365 * 86_400
STREAM_USERS = 50_000
STREAM_SONGS = 200_000
PART_DEFAULT = 500
PART_MOST = 1_000
EXCLUDED = 1_000
REACTIONS = 100
CALLER_BYTES = 64
# Longest request, without its users, that is remembered with each of its lists; and longest taste beside it.
ASKED_BYTES = 4 * 2**10
ASKED_TASTE_BYTES = 16 * 2**10
# Of counterfactuals: listeners of a request, ids of playlists that it names, and what it may ask for each list.
COUNTERFACTUAL_USERS = 10
COUNTERFACTUAL_NAMED = 100
COUNTERFACTUAL_PLAYLISTS_DEFAULT = 3
COUNTERFACTUAL_PLAYLISTS = 20
COUNTERFACTUAL_SONGS_DEFAULT = 10
COUNTERFACTUAL_SONGS = 50
