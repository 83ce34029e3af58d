"""What is remembered of listeners, in Postgres: reactions, wishes, impressions, and what must not come back.

Imports nothing itself: the command's verbs lie in here too, and must start without Postgres' client or numpy.
"""
