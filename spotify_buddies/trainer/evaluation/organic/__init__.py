"""The organic protocol: does a model find the playlists of a user's own taste, without likes made from overlap.

Likes come from song overlap, so overlap ranks them well by construction. Here every playlist of enough songs is cut
into two halves that share no song: half A is a user's library, half B a playlist. A model that is trained on A
against B, without the pair of a playlist's own halves, has to find the user's own half B among random others.
"""
