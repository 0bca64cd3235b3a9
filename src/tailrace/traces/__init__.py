"""The reading side: what a tape says, as numbers, events, text and files."""

from tailrace.traces.cast import as_cast
from tailrace.traces.diff import Trace, TraceDiff, diff_traces
from tailrace.traces.export import FORMATS, as_converted, as_json, as_jsonl, as_wire
from tailrace.traces.filter import parse_filter, parse_span
from tailrace.traces.har import as_har
from tailrace.traces.importing import read_file, tapes_in
from tailrace.traces.reading import Pace, TimedEvent, deltas, pace, timed_events

__all__ = [
    "FORMATS",
    "Pace",
    "TimedEvent",
    "Trace",
    "TraceDiff",
    "as_cast",
    "as_converted",
    "as_har",
    "as_json",
    "as_jsonl",
    "as_wire",
    "deltas",
    "diff_traces",
    "pace",
    "parse_filter",
    "parse_span",
    "read_file",
    "tapes_in",
    "timed_events",
]
