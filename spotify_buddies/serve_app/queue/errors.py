"""What can be wrong with a job."""

from __future__ import annotations


class QueueError(Exception):
    """The queue cannot do what was asked; the message says what to do."""


class UnprocessableJob(QueueError):
    """No worker will ever be able to answer it: its request is not valid, or not there any more."""


class JobFailed(QueueError):
    """Every attempt ended the worker; another one would too."""


class JobConflict(QueueError):
    """The id belongs to a job with another request."""
