"""The page for Prometheus, read back as Prometheus reads it."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.multiprocess import mark_process_dead
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

import tailrace
from tailrace.errors import ConfigError
from tailrace.gateway import metrics as module
from tailrace.gateway.metrics import MAX_MODEL_CHARACTERS, MAX_MODELS, OTHER_MODELS, Metrics
from tailrace.gateway.report import GAP_BUCKETS, Phase, Report
from tailrace.gateway.request import Request
from tailrace.llm import of_path
from tailrace.tape import Head, Kind, Library, Outcome
from tailrace.tape.recorder import Health

PATH = "/v1/chat/completions"
WELL = Health(writable=True, error=None, unsaved_bytes=0, lost_bytes=0, lag_s=0.0)
SECOND_NS = 10**9
PAGE = Path(__file__).resolve().parents[2] / "docs/reference/metrics.md"

Key = tuple[str, frozenset[tuple[str, str]]]


def reported(*, model: str | None = "m", path: str = PATH, **fields: Any) -> Report:
    """A stream that went well, but for the fields that are given."""
    request = Request("POST", path, (), of_path(path), wants_stream=True, model=model)
    usual = {
        "kind": Kind.STREAM,
        "upstream": "up",
        "phase": Phase.ANSWERING,
        "status": 200,
        "outcome": Outcome.COMPLETE,
        "attempt_count": 1,
    }
    return Report(request, time.perf_counter_ns(), "01K", **{**usual, **fields})


def told(metrics: Metrics, *reports: Report) -> Metrics:
    for report in reports:
        metrics.began(report)
        metrics.ended(report)
    return metrics


def values(page: str) -> dict[Key, float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def shown(metrics: Metrics) -> dict[Key, float]:
    return values(metrics.render("")[0].decode())


def series(name: str, **labels: str) -> Key:
    return f"tailrace_{name}", frozenset(labels.items())


def labels_of(page: dict[Key, float], name: str, label: str) -> set[str]:
    return {dict(labels)[label] for found, labels in page if found == f"tailrace_{name}"}


# What an exchange counts for


def test_an_exchange_is_counted_by_upstream_endpoint_kind_and_outcome() -> None:
    page = shown(told(Metrics(), reported(), reported(), reported(upstream="b", outcome=Outcome.TRUNCATED)))

    assert (
        page[series("exchanges_total", upstream="up", endpoint="openai-chat", kind="stream", outcome="complete")] == 2
    )
    assert (
        page[series("exchanges_total", upstream="b", endpoint="openai-chat", kind="stream", outcome="truncated")] == 1
    )
    assert page[series("truncations_total", upstream="b")] == 1
    assert page[series("truncations_total", upstream="up")] == 0


def test_an_exchange_that_was_refused_has_no_upstream_and_no_answer() -> None:
    refused = reported(upstream=None, status=404, outcome=Outcome.STOPPED, code="model_not_found", attempt_count=0)
    page = shown(told(Metrics(), refused))

    assert page[series("errors_total", upstream="", code="model_not_found")] == 1
    assert not labels_of(page, "attempts_total", "upstream")


def test_an_exchange_is_active_from_its_beginning_to_its_end_whatever_its_answer_turns_out_to_be() -> None:
    metrics, first, second = Metrics(), reported(), reported()
    metrics.began(first)
    metrics.began(second)
    first.kind = Kind.NORMAL
    during = shown(metrics)
    metrics.ended(first)
    metrics.ended(second)
    after = shown(metrics)

    assert during[series("active_exchanges", kind="stream")] == 2
    assert {after[series("active_exchanges", kind=kind)] for kind in Kind} == {0}
    assert labels_of(after, "exchanges_total", "kind") == {"normal", "stream"}


def test_a_deadline_is_counted_by_its_name_and_its_error_by_its_code() -> None:
    page = shown(told(Metrics(), reported(outcome=Outcome.TIMEOUT, code="event_idle_timeout")))

    assert page[series("timeouts_total", deadline="event_idle")] == 1
    assert page[series("errors_total", upstream="up", code="event_idle_timeout")] == 1


@pytest.mark.parametrize("phase", Phase)
def test_a_client_that_leaves_is_counted_by_the_phase_it_left_in(phase: Phase) -> None:
    page = shown(told(Metrics(), reported(outcome=Outcome.CLIENT_GONE, phase=phase)))

    assert page[series("cancellations_total", phase=phase)] == 1
    assert sum(page[series("cancellations_total", phase=each)] for each in Phase) == 1


def test_what_an_answer_had_is_added_up() -> None:
    one = reported(chunk_count=3, byte_count=100, heartbeat_count=2, attempt_count=2, input_tokens=7, output_tokens=5)
    page = shown(told(Metrics(), one, one))

    assert page[series("chunks_total", upstream="up")] == 6
    assert page[series("bytes_total", upstream="up")] == 200
    assert page[series("heartbeats_total", upstream="up")] == 4
    assert page[series("attempts_total", upstream="up")] == 4
    assert page[series("input_tokens_total", upstream="up", model="m")] == 14
    assert page[series("output_tokens_total", upstream="up", model="m")] == 10


def test_times_are_in_seconds() -> None:
    one = reported(
        overhead_ns=2_000_000,
        first_byte_ns=300_000_000,
        first_content_ns=400_000_000,
        duration_ns=3 * SECOND_NS,
    )
    page = shown(told(Metrics(), one))

    assert page[series("overhead_seconds_sum")] == pytest.approx(0.002)
    assert page[series("time_to_first_byte_seconds_sum", upstream="up")] == pytest.approx(0.3)
    assert page[series("time_to_first_content_seconds_sum", upstream="up", model="m")] == pytest.approx(0.4)
    assert page[series("time_to_first_content_seconds_bucket", upstream="up", model="m", le="0.25")] == 0
    assert page[series("time_to_first_content_seconds_bucket", upstream="up", model="m", le="0.5")] == 1
    assert page[series("duration_seconds_sum", upstream="up", kind="stream")] == pytest.approx(3)


def test_what_is_not_known_is_left_out() -> None:
    names = {name for name, _ in shown(told(Metrics(), reported()))}

    assert not names & {
        "tailrace_input_tokens_total",
        "tailrace_output_tokens_total",
        "tailrace_time_to_first_content_seconds_count",
        "tailrace_time_to_first_byte_seconds_count",
        "tailrace_chunk_gap_seconds_count",
        "tailrace_library_writable",
        "tailrace_recorder_lag_seconds",
        "tailrace_recorder_lost_bytes_total",
        "tailrace_upstream_open",
    }


@pytest.mark.parametrize("said", [-5, 10**400])
def test_an_upstream_that_says_nonsense_about_its_tokens_breaks_nothing(said: int) -> None:
    page = shown(told(Metrics(), reported(input_tokens=said, output_tokens=2)))

    assert math.isfinite(page[series("input_tokens_total", upstream="up", model="m")])
    assert page[series("output_tokens_total", upstream="up", model="m")] == 2


# Gaps


def gaps(**counts: int) -> list[int]:
    """`b5=2`: two gaps in bucket 5."""
    return [counts.get(f"b{bucket}", 0) for bucket in range(GAP_BUCKETS)]


def test_the_gaps_of_a_stream_are_a_histogram_whose_bounds_are_powers_of_two() -> None:
    page = shown(told(Metrics(), reported(gaps=gaps(b0=3, b5=2, b23=1), first_byte_ns=0, duration_ns=9000 * SECOND_NS)))

    assert page[series("chunk_gap_seconds_bucket", upstream="up", le="0.001048576")] == 3
    assert page[series("chunk_gap_seconds_bucket", upstream="up", le=str(2**24 / 1e9))] == 3
    assert page[series("chunk_gap_seconds_bucket", upstream="up", le=str(2**25 / 1e9))] == 5
    assert page[series("chunk_gap_seconds_bucket", upstream="up", le=str(2**42 / 1e9))] == 5
    assert page[series("chunk_gap_seconds_bucket", upstream="up", le="+Inf")] == 6
    assert page[series("chunk_gap_seconds_count", upstream="up")] == 6
    assert len(labels_of(page, "chunk_gap_seconds_bucket", "le")) == GAP_BUCKETS


def test_a_stream_that_ends_with_its_last_chunk_has_the_exact_sum_of_its_gaps() -> None:
    one = reported(gaps=gaps(b5=2), first_byte_ns=SECOND_NS, duration_ns=SECOND_NS + 40_000_000)

    page = shown(told(Metrics(), one, one))

    assert page[series("chunk_gap_seconds_sum", upstream="up")] == pytest.approx(0.08)


def test_the_chunks_of_an_answer_in_one_piece_have_no_gaps_that_count() -> None:
    page = shown(told(Metrics(), reported(kind=Kind.NORMAL, gaps=gaps(b5=2), first_byte_ns=1, duration_ns=2)))

    assert not labels_of(page, "chunk_gap_seconds_count", "upstream")


def bucket_of(gap_ns: int) -> int:
    return min(max(0, gap_ns.bit_length() - 20), GAP_BUCKETS - 1)


@given(st.lists(st.integers(0, 2**43), min_size=1, max_size=20), st.integers(0, 2**43))
def test_the_sum_of_gaps_is_never_further_off_than_their_buckets_are_wide(measured: list[int], tail_ns: int) -> None:
    counts = [0] * GAP_BUCKETS
    for gap_ns in measured:
        counts[bucket_of(gap_ns)] += 1
    ended_ns = 5 + sum(measured) + tail_ns

    page = shown(told(Metrics(), reported(gaps=counts, first_byte_ns=5, duration_ns=ended_ns)))

    told_ns = page[series("chunk_gap_seconds_sum", upstream="up")] * 1e9
    assert told_ns >= sum(measured) * (1 - 1e-9)
    if not tail_ns:
        assert told_ns == pytest.approx(sum(measured))
    elif not counts[-1]:
        assert told_ns <= sum(max(2**20, 2 * gap_ns) for gap_ns in measured) * (1 + 1e-9)


# Labels have a bounded number of values


def test_a_model_that_an_upstream_answered_to_has_its_name_as_a_label() -> None:
    page = shown(told(Metrics(), reported(output_tokens=1), reported(model=None, output_tokens=1)))

    assert labels_of(page, "output_tokens_total", "model") == {"m", ""}


def test_only_so_many_models_have_a_label_of_their_own() -> None:
    metrics = told(Metrics(), *(reported(model=f"m{number}", output_tokens=1) for number in range(MAX_MODELS + 10)))
    told(metrics, reported(model="m0", output_tokens=1))
    page = shown(metrics)

    assert len(labels_of(page, "output_tokens_total", "model")) == MAX_MODELS + 1
    assert page[series("output_tokens_total", upstream="up", model=OTHER_MODELS)] == 10
    assert page[series("output_tokens_total", upstream="up", model="m0")] == 2


def test_a_name_that_no_upstream_answers_to_takes_no_label() -> None:
    made_up = [reported(model=f"x{number}", status=404, output_tokens=0) for number in range(MAX_MODELS)]
    page = shown(told(Metrics(), *made_up, reported(output_tokens=1)))

    assert labels_of(page, "output_tokens_total", "model") == {OTHER_MODELS, "m"}


def test_a_name_that_is_too_long_is_no_label() -> None:
    page = shown(told(Metrics(), reported(model="x" * (MAX_MODEL_CHARACTERS + 1), output_tokens=1)))

    assert labels_of(page, "output_tokens_total", "model") == {OTHER_MODELS}


@given(st.text(min_size=1, max_size=MAX_MODEL_CHARACTERS))
def test_any_name_is_read_back_as_it_was(name: str) -> None:
    page = shown(told(Metrics(), reported(model=name, output_tokens=1)))

    assert labels_of(page, "output_tokens_total", "model") == {name}


# What is asked for


def test_the_recorder_is_asked_when_the_page_is() -> None:
    states = [
        Health(writable=True, error=None, unsaved_bytes=10, lost_bytes=5, lag_s=0.25),
        Health(writable=False, error="disk full", unsaved_bytes=20, lost_bytes=7, lag_s=2.0),
    ]
    metrics = Metrics(health=iter(states).__next__)
    first, second = shown(metrics), shown(metrics)

    assert first[series("library_writable")] == 1
    assert first[series("recorder_unsaved_bytes")] == 10
    assert first[series("recorder_lag_seconds")] == 0.25
    assert first[series("recorder_lost_bytes_total")] == 5
    assert second[series("library_writable")] == 0
    assert second[series("recorder_lost_bytes_total")] == 7


def test_a_library_that_is_closed_is_not_writable(tmp_path: Path) -> None:
    library = Library(f"sqlite:///{tmp_path}/tapes.db")
    metrics = Metrics(health=library.health)
    library.create(Head("POST", PATH, "up", "openai-chat", Kind.STREAM)).close(Outcome.COMPLETE)
    before = shown(metrics)
    library.close()

    assert before[series("library_writable")] == 1
    assert shown(metrics)[series("library_writable")] == 0


def test_an_upstream_that_is_left_alone_shows() -> None:
    states = [{"a": False, "b": True}, {"a": False, "b": False}]
    metrics = Metrics(open_breakers=iter(states).__next__)
    first, second = shown(metrics), shown(metrics)

    assert (first[series("upstream_open", upstream="a")], first[series("upstream_open", upstream="b")]) == (0, 1)
    assert second[series("upstream_open", upstream="b")] == 0


def test_the_version_and_the_process_are_there() -> None:
    page = shown(Metrics())

    assert page[series("build_info", version=tailrace.__version__)] == 1
    assert page["process_resident_memory_bytes", frozenset()] > 0


def test_two_of_them_in_one_process_know_nothing_of_each_other() -> None:
    one, other = Metrics(), Metrics()
    told(one, reported())

    assert labels_of(shown(one), "attempts_total", "upstream") == {"up"}
    assert not labels_of(shown(other), "attempts_total", "upstream")


# The page


def whole() -> Metrics:
    """Every metric has a value."""
    return told(
        Metrics(health=lambda: WELL, open_breakers=lambda: {"up": False}),
        reported(
            first_byte_ns=1,
            first_content_ns=2,
            overhead_ns=1,
            duration_ns=3,
            input_tokens=1,
            output_tokens=1,
            gaps=gaps(b0=1),
        ),
        reported(outcome=Outcome.TIMEOUT, code="idle_timeout"),
        reported(outcome=Outcome.CLIENT_GONE),
    )


OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"


def test_openmetrics_is_given_to_those_who_ask_for_it_and_keeps_to_its_rules() -> None:
    page, content_type = whole().render(OPENMETRICS)
    families = {family.name: family for family in openmetrics.text_string_to_metric_families(page.decode())}

    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert families["tailrace_chunk_gap_seconds"].type == "histogram"
    assert families["tailrace_exchanges"].type == "counter"


@pytest.mark.parametrize("accept", ["", "*/*", "text/html", "application/openmetrics-text;version=x", "\x00;,=;=,"])
def test_the_text_format_is_given_to_all_others(accept: str) -> None:
    page, content_type = whole().render(accept)

    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert "tailrace_exchanges_total{" in page.decode()


def test_no_series_says_when_another_was_made() -> None:
    assert "_created" not in whole().render("")[0].decode()


def test_every_metric_is_documented_with_its_type_and_labels_and_no_other_is() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    documented = {name: (type_, set(re.findall(r"`(\w+)`", labels))) for name, type_, labels in rows}

    assert documented == {
        family.name + ("_total" if family.type == "counter" else ""): (
            family.type,
            {label for sample in family.samples for label in sample.labels} - {"le"},
        )
        for family in openmetrics.text_string_to_metric_families(whole().render(OPENMETRICS)[0].decode())
    }


# Several workers

WORKER = """
import asyncio, json, sys, time
from tailrace.gateway.metrics import Metrics
from tailrace.gateway.report import GAP_BUCKETS, Phase, Report
from tailrace.gateway.request import Request
from tailrace.llm import of_path
from tailrace.tape import Kind, Outcome
from tailrace.tape.recorder import Health

state = Health(writable=True, error=None, unsaved_bytes=0, lost_bytes=0, lag_s=0.0)
metrics = Metrics(health=lambda: state, open_breakers=lambda: {"up": not state.writable})

def report(**fields):
    request = Request("POST", "/v1/chat/completions", (), of_path("/v1/chat/completions"), model="m")
    return Report(request, time.perf_counter_ns(), None, Kind.STREAM, upstream="up", status=200, **fields)


for line in iter(sys.stdin.readline, ""):
    command, *rest = json.loads(line)
    if command == "begin":
        metrics.began(report())
    elif command == "tell":
        told = report(outcome=Outcome.COMPLETE, first_byte_ns=0, duration_ns=40_000_000, output_tokens=3,
                      gaps=[2 if bucket == 5 else 0 for bucket in range(GAP_BUCKETS)])
        metrics.began(told)
        metrics.ended(told)
    elif command == "health":
        state = Health(*rest)
    elif command == "run":
        async def run():
            async with metrics.running():
                await asyncio.sleep(0)
        asyncio.run(run())
    page = metrics.render("")[0].decode() if command == "render" else ""
    print(json.dumps(page), flush=True)
"""


class Worker:
    """A process of its own that counts in the shared folder."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def does(self, command: str, *rest: object) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([command, *rest]) + "\n")
        self.process.stdin.flush()
        return str(json.loads(self.process.stdout.readline()))

    def page(self) -> dict[Key, float]:
        return values(self.does("render"))

    def dies(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def workers(folder: Path, number: int) -> Iterator[list[Worker]]:
    started = [Worker(folder) for _ in range(number)]
    try:
        yield started
    finally:
        for worker in started:
            worker.dies()
            for pipe in (worker.process.stdin, worker.process.stdout):
                assert pipe is not None
                pipe.close()


def test_any_worker_answers_for_all(tmp_path: Path) -> None:
    with workers(tmp_path, 2) as (one, other):
        one.does("tell")
        other.does("tell")
        other.does("begin")
        page = one.page()

    assert (
        page[series("exchanges_total", upstream="up", endpoint="openai-chat", kind="stream", outcome="complete")] == 2
    )
    assert page[series("active_exchanges", kind="stream")] == 1
    assert page[series("output_tokens_total", upstream="up", model="m")] == 6
    assert page[series("chunk_gap_seconds_bucket", upstream="up", le=str(2**24 / 1e9))] == 0
    assert page[series("chunk_gap_seconds_bucket", upstream="up", le=str(2**25 / 1e9))] == 4
    assert page[series("chunk_gap_seconds_count", upstream="up")] == 4
    assert page[series("chunk_gap_seconds_sum", upstream="up")] == pytest.approx(0.08)
    assert page[series("duration_seconds_count", upstream="up", kind="stream")] == 2
    assert page[series("build_info", version=tailrace.__version__)] == 1
    assert not [name for name, _ in page if name.startswith("process_")]


def test_the_recorder_that_is_worst_off_shows_whichever_worker_is_asked(tmp_path: Path) -> None:
    with workers(tmp_path, 2) as (well, unwell):
        unwell.does("health", False, "disk full", 10, 7, 2.0)
        unwell.does("run")
        well.does("health", True, None, 5, 1, 0.5)
        page = well.page()

    assert page[series("library_writable")] == 0
    assert page[series("recorder_lag_seconds")] == 2
    assert page[series("recorder_unsaved_bytes")] == 15
    assert page[series("recorder_lost_bytes_total")] == 8
    assert page[series("upstream_open", upstream="up")] == 1


def test_what_a_dead_worker_had_under_way_is_forgotten_and_what_it_counted_is_not(tmp_path: Path) -> None:
    with workers(tmp_path, 2) as (one, other):
        other.does("tell")
        other.does("begin")
        before = one.page()
        other.dies()
        mark_process_dead(other.process.pid, str(tmp_path))
        after = one.page()

    assert before[series("active_exchanges", kind="stream")] == 1
    assert after[series("active_exchanges", kind="stream")] == 0
    assert after[series("chunk_gap_seconds_count", upstream="up")] == 2


def test_a_folder_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "SHARED_FOLDER", str(tmp_path / "none"))

    with pytest.raises(ConfigError, match=r"PROMETHEUS_MULTIPROC_DIR is .*none', expected a folder"):
        Metrics()


async def test_a_worker_keeps_saying_how_its_recorder_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked, times = asyncio.Event(), count(1)

    def health() -> Health:
        if next(times) > 2:
            asked.set()
        return WELL

    monkeypatch.setattr(module, "SHARED_FOLDER", str(tmp_path))
    monkeypatch.setattr(module, "SAMPLE_S", 0.001)
    async with asyncio.timeout(10), Metrics(health=health).running():
        await asked.wait()


async def test_one_process_alone_has_nobody_to_tell() -> None:
    def health() -> Health:
        raise AssertionError("nobody has asked for the page")

    async with Metrics(health=health).running():
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "tailrace-metrics"]
