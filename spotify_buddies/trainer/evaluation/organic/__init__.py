"""The organic protocol: can a model find a user's own playlist when no likes come from song overlap?

Likes come from song overlap, so overlap ranks them well by construction. Here every playlist of enough songs is cut
into two halves that share no song: half A is a user's library, half B a playlist. A model that is trained on A
against B, without the pair of a playlist's own halves, has to find the user's own half B among random others.
"""
