"""Candidates: which playlists are scored for a user at all, found by several sources and put together.

What is no candidate is never recommended, however well the model would score it.
"""
