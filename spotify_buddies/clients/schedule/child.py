"""Becomes a command that ends with the scheduler that started it, even where the scheduler is killed.

python -m spotify_buddies.clients.schedule.child PARENT PROGRAM [ARGUMENT..]
"""

from __future__ import annotations

import os
import sys

from spotify_buddies.foundation.process.subreaper import end_with_parent


def main() -> None:
    """Arguments: the scheduler's process id, and the command line."""
    parent, *command = sys.argv[1:]
    end_with_parent()
    # It may have ended before it could be followed.
    if os.getppid() != int(parent):
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - a command line of ours, without a shell


if __name__ == "__main__":
    main()
