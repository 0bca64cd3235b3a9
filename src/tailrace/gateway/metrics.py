"""What Prometheus is told: how exchanges went, and how the recorder is doing.

Rules. Every label has a bounded number of values, whatever clients and upstreams say. What is not known is left out:
it is never 0. Where several worker processes serve one port, each of them answers for all, through the files of
prometheus_client's multiprocess mode; `PROMETHEUS_MULTIPROC_DIR` must then be set before this module is imported.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import accumulate
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

import tailrace
from tailrace.errors import ConfigError, LibraryError
from tailrace.gateway.report import GAP_BUCKETS, Observer, Phase, Report
from tailrace.tape import Kind, Outcome
from tailrace.tape.recorder import Health

MAX_MODELS = 100
"""How many models have a label of their own; the others share one."""

MAX_MODEL_CHARACTERS = 200
"""A model with a longer name has no label of its own."""

OTHER_MODELS = "other"

SAMPLE_S = 1.0
"""How often a worker tells the others how its recorder is doing."""

SHARED_FOLDER = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
"""Where workers share their numbers; None when there is one process."""

FIRST_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
DURATION_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
OVERHEAD_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)

# A histogram of prometheus_client takes one value at a time, and a stream has thousands of gaps that are counted
# already. So their buckets are counters, which only become a histogram when they are shown.
_GAPS = "tailrace_chunk_gap_seconds"
_GAP_COUNTS = "tailrace_chunk_gap_bucket"
_GAP_SUM = "tailrace_chunk_gap_sum_seconds"
_GAPS_MEANING = "Time between two chunks of a stream. The sum is held within what the buckets allow."
_GAP_BOUNDS_NS = [2 ** (20 + bucket) for bucket in range(GAP_BUCKETS - 1)]


class Metrics(Observer):
    """Counts reports, and renders the page.

    `health` is `Library.health`, `open_breakers` tells of each upstream whether it is being left alone; what is not
    given has no metrics. Raises `ConfigError` when the workers' folder is not there.
    """

    def __init__(
        self,
        *,
        health: Callable[[], Health] | None = None,
        open_breakers: Callable[[], Mapping[str, bool]] | None = None,
    ) -> None:
        if SHARED_FOLDER is not None and not Path(SHARED_FOLDER).is_dir():
            raise ConfigError(
                f"PROMETHEUS_MULTIPROC_DIR is {SHARED_FOLDER!r}, expected a folder",
                hint="unset it: `tailrace up --workers` makes one of its own",
            )
        registry = self._registry = CollectorRegistry()
        self._health = health
        self._recorder: _RecorderMetrics | None = None
        self._open_breakers = open_breakers
        self._sampling = threading.Lock()
        self._kinds: dict[int, Kind] = {}
        """What each exchange under way was counted as when it began: the answer may be of another kind."""
        self._models: set[str] = set()
        self._process = None if SHARED_FOLDER else ProcessCollector(registry=None)

        self._active = Gauge(
            "tailrace_active_exchanges",
            "Exchanges under way.",
            ["kind"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._open = Gauge(
            "tailrace_upstream_open",
            "1 while an upstream is left alone because it fails (open circuit breaker), else 0.",
            ["upstream"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._exchanges = Counter(
            "tailrace_exchanges",
            "Exchanges that are over.",
            ["upstream", "endpoint", "kind", "outcome"],
            registry=registry,
        )
        self._errors = Counter(
            "tailrace_errors", "Exchanges that ended with an error.", ["upstream", "code"], registry=registry
        )
        self._truncations = Counter(
            "tailrace_truncations",
            "Answers that ended before their terminal event.",
            ["upstream"],
            registry=registry,
        )
        self._cancellations = Counter(
            "tailrace_cancellations", "Exchanges whose client left first.", ["phase"], registry=registry
        )
        self._timeouts = Counter(
            "tailrace_timeouts", "Exchanges that a deadline ended.", ["deadline"], registry=registry
        )
        self._attempts = Counter(
            "tailrace_attempts", "Times that an upstream was asked, retries included.", ["upstream"], registry=registry
        )
        self._heartbeats = Counter(
            "tailrace_heartbeats", "Heartbeats that Tailrace put into streams.", ["upstream"], registry=registry
        )
        self._bytes = Counter("tailrace_bytes", "Bytes of answers.", ["upstream"], registry=registry)
        self._chunks = Counter("tailrace_chunks", "Chunks of answers.", ["upstream"], registry=registry)
        self._input_tokens = Counter(
            "tailrace_input_tokens",
            "Tokens of requests, where the upstream said how many.",
            ["upstream", "model"],
            registry=registry,
        )
        self._output_tokens = Counter(
            "tailrace_output_tokens",
            "Tokens of answers, where the upstream said how many.",
            ["upstream", "model"],
            registry=registry,
        )
        self._first_content = Histogram(
            "tailrace_time_to_first_content_seconds",
            "From the request to the first generated text of a stream (TTFT).",
            ["upstream", "model"],
            buckets=FIRST_BUCKETS_S,
            registry=registry,
        )
        self._first_byte = Histogram(
            "tailrace_time_to_first_byte_seconds",
            "From the request to the first byte of the answer's body.",
            ["upstream"],
            buckets=FIRST_BUCKETS_S,
            registry=registry,
        )
        self._duration = Histogram(
            "tailrace_duration_seconds",
            "From the request to the end of the exchange.",
            ["upstream", "kind"],
            buckets=DURATION_BUCKETS_S,
            registry=registry,
        )
        self._overhead = Histogram(
            "tailrace_overhead_seconds",
            "What Tailrace itself took before it asked an upstream.",
            buckets=OVERHEAD_BUCKETS_S,
            registry=registry,
        )
        self._gap_counts = Counter(_GAP_COUNTS, _GAPS_MEANING, ["upstream", "bucket"], registry=registry)
        self._gap_sum = Counter(_GAP_SUM, _GAPS_MEANING, ["upstream"], registry=registry)
        for kind in Kind:
            self._active.labels(kind)
        for phase in Phase:
            self._cancellations.labels(phase)

    def began(self, report: Report) -> None:
        self._kinds[id(report)] = report.kind
        self._active.labels(report.kind).inc()

    def ended(self, report: Report) -> None:
        began_as = self._kinds.pop(id(report), None)
        if began_as is not None:
            self._active.labels(began_as).dec()
        upstream = report.upstream or ""  # a label without a value is, to Prometheus, no label
        self._exchanges.labels(upstream, report.request.dialect.name, report.kind, report.outcome).inc()
        self._duration.labels(upstream, report.kind).observe(report.duration_ns / 1e9)
        if report.overhead_ns is not None:
            self._overhead.observe(report.overhead_ns / 1e9)
        if report.code is not None:
            self._errors.labels(upstream, report.code).inc()
            if report.outcome is Outcome.TIMEOUT:
                self._timeouts.labels(report.code.removesuffix("_timeout")).inc()
        if report.outcome is Outcome.CLIENT_GONE:
            self._cancellations.labels(report.phase).inc()
        if report.upstream is not None:
            self._count_answer(report, report.upstream)

    def sample(self) -> None:
        """Looks at what is not told but asked for: the recorder and the breakers. `render` does it, too."""
        with self._sampling:
            if self._health is not None:
                self._recorder = self._recorder or _RecorderMetrics(self._registry)
                self._recorder.sample(self._health)
            if self._open_breakers is not None:
                for upstream, is_open in self._open_breakers().items():
                    self._open.labels(upstream).set(is_open)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The page and its content type, in the format that an `Accept` field asks for: OpenMetrics, or the text
        format of Prometheus. Takes some milliseconds and may be called from any thread."""
        self.sample()
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no number
            encode, content_type = choose_encoder("")
        return encode(self), content_type

    def collect(self) -> Iterator[Metric]:
        """The families of the page, for an encoder of prometheus_client."""
        version = GaugeMetricFamily("tailrace_build_info", "Always 1; the label says what runs.", labels=["version"])
        version.add_metric([tailrace.__version__], 1)
        yield version
        families = {family.name: family for family in self._stored()}
        counts, sums = families.pop(_GAP_COUNTS, None), families.pop(_GAP_SUM, None)
        for _, family in sorted(families.items()):
            yield _without_creation_times(family)
        if counts is not None and sums is not None:
            yield _gaps(counts, sums)
        if self._process is not None:
            yield from self._process.collect()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Lets the other workers, if there are any, know how this one is doing while it is entered."""
        if SHARED_FOLDER is None:
            yield
            return
        async with asyncio.TaskGroup() as group:
            sampling = group.create_task(self._keep_sampling(), name="tailrace-metrics")
            try:
                yield
            finally:
                sampling.cancel()

    async def _keep_sampling(self) -> None:
        while True:
            self.sample()
            await asyncio.sleep(SAMPLE_S)

    def _stored(self) -> Iterator[Metric]:
        if SHARED_FOLDER is None:
            yield from self._registry.collect()
        else:
            yield from MultiProcessCollector(None, SHARED_FOLDER).collect()  # type: ignore[no-untyped-call] # theirs

    def _count_answer(self, report: Report, upstream: str) -> None:
        self._attempts.labels(upstream).inc(report.attempt_count)
        self._bytes.labels(upstream).inc(report.byte_count)
        self._chunks.labels(upstream).inc(report.chunk_count)
        self._heartbeats.labels(upstream).inc(report.heartbeat_count)
        self._truncations.labels(upstream).inc(report.outcome is Outcome.TRUNCATED)
        if report.first_byte_ns is not None:
            self._first_byte.labels(upstream).observe(report.first_byte_ns / 1e9)
            if report.kind is Kind.STREAM:
                self._count_gaps(report, upstream, report.duration_ns - report.first_byte_ns)
        model = self._model(report)
        if report.first_content_ns is not None:
            self._first_content.labels(upstream, model).observe(report.first_content_ns / 1e9)
        if report.input_tokens is not None:
            self._input_tokens.labels(upstream, model).inc(_counted(report.input_tokens))
        if report.output_tokens is not None:
            self._output_tokens.labels(upstream, model).inc(_counted(report.output_tokens))

    def _count_gaps(self, report: Report, upstream: str, at_most_ns: int) -> None:
        """Together, the gaps took no longer than the time from the first byte to the end, which is all but the same
        where the end came with the last chunk, and no more and no less than their buckets allow."""
        least_ns = most_ns = 0
        for bucket, count in enumerate(report.gaps):
            if count:
                self._gap_counts.labels(upstream, bucket).inc(count)
                least_ns += count * (_GAP_BOUNDS_NS[bucket - 1] if bucket else 0)
                most_ns += count * _GAP_BOUNDS_NS[bucket] if bucket < len(_GAP_BOUNDS_NS) else at_most_ns
        self._gap_sum.labels(upstream).inc(max(least_ns, min(at_most_ns, most_ns)) / 1e9)

    def _model(self, report: Report) -> str:
        """The label of the model that was asked for. A name gets one of its own once an upstream has answered to it:
        names that clients make up don't use the labels up."""
        name = report.request.model or report.model
        if name is None or name in self._models:
            return name or ""
        has_room = len(self._models) < MAX_MODELS and len(name) <= MAX_MODEL_CHARACTERS
        if not has_room or not 200 <= report.status < 400:
            return OTHER_MODELS
        self._models.add(name)
        return name


class _RecorderMetrics:
    """How the recorder of this process is doing. Made when that is first known."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lost_bytes_before = 0
        self._writable = Gauge(
            "tailrace_library_writable",
            "1 if the last attempt to write tapes succeeded, else 0.",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self._unsaved = Gauge(
            "tailrace_recorder_unsaved_bytes",
            "Memory that what waits for the disk takes.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._lost = Counter(
            "tailrace_recorder_lost_bytes", "Bytes that were relayed but could not be recorded.", registry=registry
        )
        self._lag = Gauge(
            "tailrace_recorder_lag_seconds",
            "Age of the oldest data that is not written yet.",
            registry=registry,
            multiprocess_mode="livemax",
        )

    def sample(self, health: Callable[[], Health]) -> None:
        try:
            now = health()
        except LibraryError:  # it is closed
            self._writable.set(0)
            return
        self._writable.set(now.writable)
        self._unsaved.set(now.unsaved_bytes)
        self._lag.set(now.lag_s)
        self._lost.inc(now.lost_bytes - self._lost_bytes_before)
        self._lost_bytes_before = now.lost_bytes


def _counted(tokens: int) -> int:
    """What an upstream says, as far as it can be a count: a counter takes nothing below 0, and no integer that a
    float cannot hold."""
    return min(max(0, tokens), 2**53)


def _without_creation_times(family: Metric) -> Metric:
    """Without the series that say when each other one was made: they are not there for several processes."""
    family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
    return family


def _gaps(counts: Metric, sums: Metric) -> Metric:
    """The histogram that the counters of `Metrics._count_gaps` make."""
    family = HistogramMetricFamily(_GAPS, _GAPS_MEANING, labels=["upstream"])
    seconds = {sample.labels["upstream"]: sample.value for sample in sums.samples if sample.name.endswith("_total")}
    found = {upstream: [0.0] * GAP_BUCKETS for upstream in seconds}
    for sample in counts.samples:
        if sample.name.endswith("_total") and sample.labels["upstream"] in found:
            found[sample.labels["upstream"]][int(sample.labels["bucket"])] = sample.value
    bounds = [*(str(bound_ns / 1e9) for bound_ns in _GAP_BOUNDS_NS), "+Inf"]
    for upstream, buckets in found.items():
        family.add_metric([upstream], list(zip(bounds, accumulate(buckets), strict=True)), seconds[upstream])
    return family
