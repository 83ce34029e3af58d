"""What a reason counts, by its number in the proto (ReasonKind); 0 stands in places that are not filled."""

# Of a place of which nothing is found yet, while artists and followers are still to be looked for.
OPEN = -1
TASTE = 1
OWNER = 2
SONGS = 3
ARTISTS = 4
FOLLOWERS = 5
POPULAR_WITH = 6
POPULAR_IN_GENRE_WITH = 7
