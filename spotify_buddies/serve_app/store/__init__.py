"""The service's memory of users, in Postgres: reactions, wishes, impressions, and blocks.

Imports nothing itself: the command's verbs live here too, and must start without Postgres' client or numpy.
"""
