"""The loops on a clock of the test's own: what is sent when, and from when latency counts."""

import asyncio
import selectors
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from spotify_buddies.clients.load.mix import CallKind
from spotify_buddies.clients.load.plan import LoadPlan
from spotify_buddies.clients.load.worker.drive import Drive
from spotify_buddies.clients.load.worker.record import NOT_SENT, CallOutcome, Record
from spotify_buddies.clients.load.worker.requests import Request


class JumpingSelector(selectors.SelectSelector):
    """Where a loop would wait, the clock jumps to the time that it waits for."""

    now = 0.0

    def select(self, timeout=None):
        if timeout:
            self.now += timeout
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.jumping = JumpingSelector()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.now if hasattr(self, "jumping") else 0.0


@dataclass
class Server:
    """Answers one call after the other, each in `takes(number)` seconds, as one core would."""

    takes: Callable[[int], float]
    ends: Callable[[int], CallOutcome] = lambda number: CallOutcome(users=1)
    sent_at: list[float] = field(default_factory=list)
    free_at: float = 0.0

    async def send(self, request: Request, caller: int) -> bytes:
        now = asyncio.get_running_loop().time()
        number = len(self.sent_at)
        self.sent_at.append(now)
        self.free_at = max(self.free_at, now) + self.takes(number)
        await asyncio.sleep(self.free_at - now)
        return str(number).encode()

    def judge(self, request: Request, answer: bytes) -> CallOutcome:
        return self.ends(int(answer))

    def next(self) -> Request:
        return Request(CallKind.KNOWN, b"", 1)


def driven(server: Server, **changes) -> Record:
    plan = LoadPlan("x", {CallKind.KNOWN: 1.0}, **{"duration_s": 10.0, "warmup_s": 0.0, **changes})
    record = Record()
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(Drive(plan.part(0), server, server, record).run(0.0))
    return record


def test_an_open_loop_sends_at_the_times_of_its_schedule() -> None:
    server = Server(lambda number: 0.001)
    record = driven(server, rate=10.0, duration_s=1.0, callers=4)
    assert server.sent_at == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    assert record.whole().latency.count == 10
    assert record.delay.highest == 0


def test_one_stall_is_in_the_latency_of_every_call_that_should_have_been_sent_in_it() -> None:
    # 100 calls a second of 1 ms; the call at 5 s takes 2 s. It and the 200 behind it would be answered at 7 s and
    # later: 180 of them more than 0.2 s after their time, and the queue is gone 0.22 s after the stall.
    server = Server(lambda number: 2.0 if number == 500 else 0.001)
    record = driven(server, rate=100.0, callers=1)
    latency, service = record.whole().latency, record.whole().service
    assert latency.count == 1_000
    # Sent one by one, the callers wait with the server: the service time shows one slow call and hides 200.
    assert service.at_least(100_000) == 1
    assert 190 <= latency.at_least(200_000) <= 210
    assert latency.percentile(90) > 800_000 > 2_000 > service.percentile(99)


def test_the_same_stall_is_one_slow_call_of_a_closed_loop() -> None:
    server = Server(lambda number: 2.0 if number == 500 else 0.01)
    latency = driven(server, callers=1).whole().latency
    assert latency.at_least(200_000) == 1


def test_with_callers_to_spare_calls_are_sent_in_time_during_a_stall() -> None:
    server = Server(lambda number: 2.0 if number == 500 else 0.001)
    record = driven(server, rate=100.0, callers=500)
    assert record.delay.highest == 0
    assert 190 <= record.whole().latency.at_least(200_000) <= 210


def test_a_server_that_is_too_slow_leaves_calls_unsent_and_they_are_counted() -> None:
    # 10 calls a second asked for, 1 answered: of 100, those of the 10 s and of the 5 s timeout after are sent.
    record = driven(Server(lambda number: 1.0), rate=10.0, callers=1)
    whole = record.whole()
    assert whole.latency.count == 15
    assert record.errors == Counter({("known", NOT_SENT, ""): 85})
    # Answers after the end are latency, not throughput.
    assert record.answered == 9
    assert whole.latency.count + record.errors.total() == 100


def test_a_closed_loop_keeps_its_callers_busy_and_no_more() -> None:
    # Answers every 0.125 s; the one at 10 s comes with the end.
    record = driven(Server(lambda number: 0.125), callers=3)
    assert record.answered == 79
    assert record.whole().latency.percentile(50) == pytest.approx(375_000, rel=0.001)


def test_the_warm_up_is_not_counted() -> None:
    server = Server(lambda number: 0.125)
    record = driven(server, callers=1, warmup_s=5.0, duration_s=5.0)
    assert len(server.sent_at) == 80
    assert record.whole().latency.count == 40
    assert record.span_s == 5.0


def test_failures_are_counted_by_code_and_reason_and_apart_from_answers() -> None:
    def ends(number: int) -> CallOutcome:
        return CallOutcome("UNAVAILABLE", "STORE", "down") if number % 4 == 0 else CallOutcome(users=1)

    record = driven(Server(lambda number: 0.125, ends), callers=1)
    assert record.errors == Counter({("known", "UNAVAILABLE", "STORE"): 20})
    assert record.messages == {("known", "UNAVAILABLE", "STORE"): "down"}
    assert (record.whole().latency.count, record.whole().failed.count, record.answered) == (60, 20, 59)
    assert sum(second.failed for second in record.seconds.values()) == 20


def test_every_second_of_the_measurement_has_its_calls() -> None:
    record = driven(Server(lambda number: 0.001), rate=20.0, callers=4, duration_s=3.0, warmup_s=1.0)
    assert {at: second.latency.count for at, second in record.seconds.items()} == {0: 20, 1: 20, 2: 20}


def test_a_cancelled_measurement_keeps_what_was_counted() -> None:
    server = Server(lambda number: 0.1)
    plan = LoadPlan("x", {CallKind.KNOWN: 1.0}, duration_s=10.0, warmup_s=0.0, callers=1)
    record = Record()

    async def cut() -> None:
        task = asyncio.ensure_future(Drive(plan.part(0), server, server, record).run(0.0))
        await asyncio.sleep(2.05)
        task.cancel()
        await asyncio.wait([task])

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(cut())
    assert record.whole().latency.count == 20
    assert record.span_s == pytest.approx(2.05)


def test_processes_share_one_schedule() -> None:
    plan = LoadPlan(
        "x", {CallKind.KNOWN: 1.0}, rate=100.0, processes=3, callers=4, connections=2, warmup_s=0, duration_s=0.1
    )
    parts = [plan.part(number) for number in range(3)]
    times = [[part.send_time_s(number) for number in range(5)] for part in parts]
    sent = sorted(time for part in times for time in part if time is not None)
    assert sent == pytest.approx([number / 100 for number in range(10)])
    assert [part.callers for part in parts] == [2, 1, 1]
    assert [part.connections for part in parts] == [1, 1, 1]


def test_records_merge_beside_and_after_each_other() -> None:
    one, other = (driven(Server(lambda number: 0.1), callers=1, duration_s=2.0) for _ in range(2))
    one.beside(other)
    assert (one.span_s, one.whole().latency.count, sorted(one.seconds)) == (2.0, 40, [0, 1])
    one.after(other)
    assert (one.span_s, one.whole().latency.count, sorted(one.seconds)) == (4.0, 60, [0, 1, 2, 3])
    assert Record.from_json(one.to_json()).to_json() == one.to_json()
