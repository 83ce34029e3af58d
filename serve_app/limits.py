"""The documented ranges of the API, as in protos/buddies/v1/recommender.proto."""

# What a request may weigh on the wire: parsed it takes several times as much memory.
REQUEST_BYTES = 16 * 2**20
ID_BYTES = 128
NAME_BYTES = 512
LISTENERS = 1_000
TASTE_SONGS = 1_000
# In all tastes of one request: looking up names is Python and takes about 5 microseconds a song.
REQUEST_SONGS = 20_000
LIMIT_DEFAULT = 5
LIMIT_MOST = 100
EXCLUDED = 1_000
REACTIONS = 100
