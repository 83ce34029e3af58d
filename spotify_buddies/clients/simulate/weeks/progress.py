"""The whole days that a run has simulated, in a file, so that a run that was ended goes on after the last of them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DayCounts = dict[str, Any]


class ProgressError(Exception):
    """The file is not of this run; the message names it and what to do."""


class Progress:
    """The days in their order, as JSON objects. path: None keeps them in memory alone.

    settings: of the run, which the file must have too: two worlds in one file would be told as one.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any]) -> None:
        """ProgressError: the file is unreadable, or of another run."""
        self._path, self._settings = path, settings
        self.days: list[DayCounts] = [] if path is None else self._read(path)

    def add(self, day: DayCounts) -> None:
        """Keep a whole day; the file is replaced whole. OSError."""
        self.days.append(day)
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        written = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with written.open("w", encoding="utf-8") as file:
            json.dump({"settings": self._settings, "days": self.days}, file)
            file.flush()
            os.fsync(file.fileno())
        written.replace(self._path)

    def keep(self, days: int) -> None:
        """Forget the days from this one on; they are simulated again. ProgressError: there are fewer."""
        if days > len(self.days):
            raise ProgressError(f"{self._path}: holds {len(self.days)} days; --from-day {days} would leave a gap")
        del self.days[days:]

    def _read(self, path: Path) -> list[DayCounts]:
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            settings, days = held["settings"], list(held["days"])
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ProgressError(f"{path}: not the state of a simulation ({error}); name another with --state") from None
        # Names of both: an option that is off here is left out, and the file may have it on.
        names = sorted({*self._settings, *settings})
        differ = [name for name in names if settings.get(name) != self._settings.get(name)]
        if differ:
            raise ProgressError(
                f"{path}: of a run with another {differ[0]} ({settings.get(differ[0])!r}, here "
                f"{self._settings.get(differ[0])!r}); name another with --state, or delete it"
            )
        return days


def held_start(path: Path | None) -> str | None:
    """The start that a file was made with; None: there is none, or it cannot be read, which Progress says."""
    try:
        return None if path is None else str(json.loads(path.read_text(encoding="utf-8"))["settings"]["start"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def total(days: Sequence[DayCounts]) -> DayCounts:
    """The sums of some days, by version and arm; rates of the sums, None where nothing was shown."""
    arms: dict[tuple[str, str], Counter[str]] = {}
    sources: dict[tuple[str, str], Counter[str]] = {}
    for day in days:
        for arm in day["arms"]:
            key = (arm["version"], arm["arm"])
            counts = {name: arm[name] for name in ("calls", "impressions", "likes", "empty", "errors")}
            arms.setdefault(key, Counter()).update(counts)
            sources.setdefault(key, Counter()).update(arm["sources"])
    return {
        "visits": sum(day["visits"] for day in days),
        "failed": dict(sum((Counter(day["failed"]) for day in days), Counter[str]())),
        "errors": sum(day["errors"] for day in days),
        "arms": [
            rated({"version": key[0], "arm": key[1], **counts, "sources": dict(sources[key])})
            for key, counts in sorted(arms.items())
        ],
        "bots": dict(sum((Counter(day["bots"]) for day in days), Counter[str]())),
    }


def rated(arm: DayCounts) -> DayCounts:
    """Counts of an arm with like_rate, and cold_share: of the calls, those answered without a factor of the user's."""
    warm = sum(arm["sources"].get(name, 0) for name in ("live", "daily"))
    return {
        **arm,
        "like_rate": round(arm["likes"] / arm["impressions"], 6) if arm["impressions"] else None,
        "cold_share": round(1 - warm / arm["calls"], 6) if arm["calls"] else None,
    }
