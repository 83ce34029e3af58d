"""The counters of a worker: Ray gets them while it works, and the last ones when it ends."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb
from spotify_buddies.serve_app.settings.serve import ServeSettings
from spotify_buddies.serve_app.settings.services import Services
from tests.waiting import WITHIN_S

if TYPE_CHECKING:
    from spotify_buddies.serve_app.queue.worker import ServiceAnswering

# Ray's own, when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

REQUEST = pb.RecommendRequest(user_ids=["user-1", "user-2"]).SerializeToString()


class Handed:
    """What Ray's counters were given, by name; `wait` until there is as much of one."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._changed = threading.Condition()

    def add(self, name: str, count: float) -> None:
        with self._changed:
            self._counts[name] += int(count)
            self._changed.notify_all()

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def wait(self, name: str, count: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._counts[name] >= count, timeout=WITHIN_S)


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> Handed:
    """Listens where the counters leave our hands: without a cluster Ray keeps nothing that could be read."""
    from ray.serve import metrics

    handed = Handed()

    def inc(self: Any, value: float = 1.0, tags: dict[str, str] | None = None) -> None:
        del tags
        handed.add(self._name, value)

    monkeypatch.setattr(metrics.Counter, "inc", inc)
    return handed


@pytest.fixture
def answering(bundle_dir: Path, redis_url: str, postgres_url: str) -> Iterator[Callable[[], ServiceAnswering]]:
    from spotify_buddies.serve_app.queue.worker import ServiceAnswering, WorkerSetup

    services = Services(postgres_url=postgres_url, redis_url=redis_url)
    made: list[ServiceAnswering] = []

    def make() -> ServiceAnswering:
        made.append(
            ServiceAnswering(WorkerSetup(ServeSettings(), str(bundle_dir), "7", "m", services, ServiceAnswering))
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_what_a_worker_counts_is_handed_on_while_it_works(
    answering: Callable[[], ServiceAnswering], handed: Handed
) -> None:
    worker = answering()
    worker.answer(REQUEST)
    assert handed.wait("inference_lists_total", 2)


def test_what_a_worker_counts_last_is_handed_on_when_it_ends(
    answering: Callable[[], ServiceAnswering], handed: Handed
) -> None:
    worker = answering()
    worker.answer(REQUEST)
    worker.close()
    assert handed["inference_lists_total"] == 2
    assert handed["impressions_total"] == 2, "written while the store closed"
