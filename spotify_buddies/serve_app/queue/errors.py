"""Errors of jobs and of the queue."""

from __future__ import annotations


class QueueError(Exception):
    """The queue cannot do this; the message says what to do."""


class UnprocessableJob(QueueError):
    """No worker can ever answer the job: its request is not valid, or has expired."""


class JobFailed(QueueError):
    """Every attempt killed its worker; another one would too."""


class JobConflict(QueueError):
    """The id belongs to a job with another request."""
