"""Client processes against real grpc.aio servers, and the command with everything that it starts."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from spotify_buddies.clients.load.baseline import Bare, bare_server
from spotify_buddies.clients.load.client_processes import Around, ClientProcesses, LoadError, Measured, processes
from spotify_buddies.clients.load.mix import CallKind
from spotify_buddies.clients.load.plan import LoadPlan
from spotify_buddies.clients.load.sample import Sample
from spotify_buddies.clients.load.targets import Row
from spotify_buddies.clients.load.usage import Watch, growth
from spotify_buddies.clients.load.worker.record import WRONG_ANSWER
from spotify_buddies.foundation.process.children import left_of, stop_tree
from spotify_buddies.trainer.bench.serving import Shape, write_serving_bundle
from tests.clients.buddies_process import called
from tests.clients.load.grpc_aio import Stalling, serving
from tests.waiting import WITHIN_S, wait_until

SAMPLE = Sample(("anna", "ben"), ((("Hurt", "Johnny Cash"),),))
SHAPE = Shape(users=200, playlists=300, dimension=8, candidates=20, songs=400, songs_a_user=12)


def run(workers: ClientProcesses, plan: LoadPlan) -> Measured:
    return workers.measure(plan, lambda phase, calls, errors: None, Around(lambda: None, lambda: None))


def short(address: str, mix: dict[CallKind, float], **changes) -> LoadPlan:
    return LoadPlan(
        address, mix, **{"duration_s": 0.5, "warmup_s": 0.0, "callers": 4, "timeout_s": WITHIN_S, **changes}
    )


def test_every_kind_of_call_is_made_in_its_share_by_every_process_and_every_answer_is_checked() -> None:
    servicer = Stalling()
    mix = {CallKind.KNOWN: 2.0, CallKind.TASTE: 1.0, CallKind.UNKNOWN: 1.0, CallKind.FEEDBACK: 1.0}
    with serving(servicer) as address, processes(2, SAMPLE) as workers:
        plan = short(address, mix, processes=2, connections=2, check_every=1, rate=400.0, duration_s=5.0)
        measured = run(workers, plan)
        alone = run(workers, short(address, {CallKind.KNOWN: 1.0}, callers=1, rate=20.0))
    assert len(alone.clients) == 1
    assert alone.record.whole().latency.count == 10
    record = measured.record
    assert not record.errors
    assert len(measured.clients) == 2
    assert sum(tally.latency.count for tally in record.tallies.values()) == 2_000  # each process deals a whole deck
    assert {kind: tally.latency.count for kind, tally in record.tallies.items()} == {
        CallKind.KNOWN: 800, CallKind.TASTE: 400, CallKind.UNKNOWN: 400, CallKind.FEEDBACK: 400
    }  # fmt: skip
    assert record.checked == 2_000
    assert record.sources == Counter({"live": 1_600})
    assert len(set(servicer.feedback_keys)) == len(servicer.feedback_keys) == 400


def test_a_real_stall_is_in_the_latency_of_every_call_of_the_schedule_within_it() -> None:
    servicer = Stalling(stall_at=200, stall_s=0.5)
    with serving(servicer) as address, processes(1, SAMPLE) as workers:
        plan = short(address, {CallKind.KNOWN: 1.0}, rate=400.0, duration_s=1.5, callers=4)
        whole = run(workers, plan).record.whole()
    assert whole.latency.count == 600
    # At least the calls of the stall's first half have waited for its second half. A slow machine adds to them.
    assert whole.latency.at_least(round(servicer.stalled_s / 2 * 1e6)) >= int(servicer.stalled_s / 2 * 400) - 1


def test_refusals_and_wrong_answers_are_in_the_table_of_errors() -> None:
    refused, wrong = Sample(("refuse",)), Sample(("short",))
    with serving(Stalling()) as address:
        plan = short(address, {CallKind.KNOWN: 1.0}, check_every=1, rate=40.0)
        with processes(1, refused) as workers:
            one = run(workers, plan).record
        with processes(1, wrong) as workers:
            other = run(workers, plan).record
    assert one.errors == Counter({("known", "RESOURCE_EXHAUSTED", ""): 20})
    assert one.messages == {("known", "RESOURCE_EXHAUSTED", ""): "full"}
    assert other.errors == Counter({("known", WRONG_ANSWER, ""): 20})
    assert other.messages[("known", WRONG_ANSWER, "")] == "0 recommendations for 1 users"
    assert one.answered == other.answered == 0


@pytest.mark.parametrize("count", [1, 2])
def test_a_mix_that_cannot_be_made_says_so_and_the_clients_go_on(count: int) -> None:
    with serving(Stalling()) as address, processes(count, SAMPLE) as workers:
        with pytest.raises(LoadError, match="none came"):
            run(workers, short(address, {CallKind.FEEDBACK: 1.0}, reactions=9, processes=count))
        plan = short(address, {CallKind.KNOWN: 1.0}, rate=10.0, processes=count)
        assert run(workers, plan).record.whole().latency.count == 5


def test_the_watch_counts_a_tree_of_processes() -> None:
    inner = "while True: pass"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    child = subprocess.Popen([sys.executable, "-c", outer])
    tree = psutil.Process(child.pid)
    try:
        wait_until(tree.children, "the process below it")
        watch = Watch([child.pid])
        watch.began()
        before = tree.children()[0].cpu_times().user
        wait_until(lambda: tree.children()[0].cpu_times().user >= before + 0.1, "a tenth of a second of work")
        watch.ended()
        usage = watch.usage()
        assert child.pid in {process.pid for process in usage.processes}
        assert usage.rss_after_mib > 1
        assert 0.1 <= sum(process.cpu_s for process in usage.processes) < 10
    finally:
        stop_tree(child.pid)
        child.wait()
    assert growth(100.0, 102.0) == 0.02
    assert growth(0.0, 5.0) is None


def test_a_target_is_met_at_its_bound_and_unknown_without_a_figure() -> None:
    assert Row("w", "f", 0.75, least=0.75).met is True
    assert Row("w", "f", 0.7499, least=0.75).met is False
    assert Row("w", "f", 1.31, most=1.3).met is False
    assert Row("w", "f", None, most=1.3).met is None
    assert Row("w", "f", 1_650.4, least=1_500.0).to_json()["reached"] == "1,650"


def command(state: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "spotify_buddies.clients.main", "load", *arguments]


def environment(state: Path) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("BUDDIES_", "MLFLOW_"))}
    paths = os.pathsep.join(filter(None, sys.path))
    return {**inherited, "PYTHONPATH": paths, "COLUMNS": "160", "BUDDIES_STATE_DIR": str(state)}


def load(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(state, *arguments), env=environment(state), capture_output=True, text=True, timeout=240, check=False,
        cwd=state,
    )  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("drawn") / "bundle"
    write_serving_bundle(directory, SHAPE)
    return directory


@pytest.fixture(scope="module")
def bare(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    """The bare server as the service that is measured; its end is checked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUDDIES_STATE_DIR", str(tmp_path_factory.mktemp("bare")))
        with bare_server(bundle) as server:
            yield server
        assert not psutil.pid_exists(server.pid)


def test_a_run_beside_the_baseline_gives_rates_times_usage_and_ratios(bare: Bare, bundle: Path, tmp_path: Path) -> None:
    arguments = ("--address", bare.address, "--bundle", str(bundle), "--baseline", "--rounds", "2", "--duration", "0.5",
                 "--warmup", "0.1", "--callers", "4", "--mix", "known=8,taste=1,unknown=1", "--timeout", "30",
                 "--check-every", "1", "--max-error-rate", "0", "--json")  # fmt: skip
    finished = load(tmp_path, *arguments)
    assert finished.returncode == 0, finished.stderr
    body = json.loads(finished.stdout)
    service, baseline = body["service"], body["baseline"]
    assert service["failed"] == baseline["failed"] == 0
    assert service["calls_per_s"] > 0
    assert service["latency_ms"]["p50"] <= service["latency_ms"]["p99.9"] <= service["latency_ms"]["max"]
    assert set(service["kinds"]) <= {"known", "taste", "unknown"}
    assert service["answers"]["sources"].keys() <= {"live", "cold_neighbours", "popular", "popular_in_genre"}
    assert baseline["server_usage"]["cpu_s"] > 0
    assert service["server_usage"] is None  # not a service of this state directory, so not ours to watch
    assert len(service["rounds"]) == len(baseline["rounds"]) == 2
    assert set(body["ratio_to_baseline"]) == {"calls_per_s", "p50", "p99", "cpu_per_call"}
    assert body["ratio_to_baseline"]["calls_per_s"] > 0
    assert body["target"]["versions"][0]["users"] == SHAPE.users
    assert body["environment"]["cores"] >= 1
    assert sum(second["calls"] for second in service["seconds"]) == service["calls"]


def test_a_threshold_that_is_not_kept_ends_with_one(bare: Bare, bundle: Path, tmp_path: Path) -> None:
    finished = load(tmp_path, "--address", bare.address, "--bundle", str(bundle), "--duration", "0.3", "--warmup", "0",
                    "--min-calls-per-s", "1e9", "--mix", "unknown")  # fmt: skip
    assert finished.returncode == 1
    assert "calls/s, at least 1e+09" in finished.stderr
    assert "closed loop of 32 callers; unknown 100%" in finished.stdout


def test_an_interrupt_prints_what_was_measured(bare: Bare, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("anna\n")
    arguments = ("--address", bare.address, "--ids", "ids", "--duration", "600", "--warmup", "0", "--json")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    process = subprocess.Popen(
        command(tmp_path, *arguments), env=environment(tmp_path), cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    killer = threading.Timer(120, process.kill)
    killer.start()
    try:
        assert process.stderr is not None
        line = process.stderr.readline()  # the first line of progress comes from a measurement that runs
        assert "of 600 s" in line
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
    finally:
        killer.cancel()
    assert process.returncode == 130, errors
    assert "interrupted" in errors
    body = json.loads(output)
    assert body["service"]["calls"] > 0
    assert 0 < body["service"]["measured_s"] < 600
    assert children
    assert left_of(children, WITHIN_S) == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--mix", "friends=1"), 2, "none of known"),
        (("--users-per-call", "1001"), 2, "--users-per-call"),
        (("--callers", "2", "--processes", "3"), 2, "--processes"),
        (("--address", "127.0.0.1:1"), 1, "buddies serve start"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: tuple[str, ...], code: int, said: str, tmp_path: Path) -> None:
    finished = called("load", *arguments, cwd=tmp_path, BUDDIES_STATE_DIR=str(tmp_path))
    assert finished.returncode == code
    assert said in finished.stderr


def test_without_a_bundle_it_says_how_to_name_listeners(bare: Bare, tmp_path: Path) -> None:
    finished = called("load", "--address", bare.address, cwd=tmp_path, BUDDIES_STATE_DIR=str(tmp_path))
    assert finished.returncode == 1
    assert "--ids FILE" in finished.stderr
