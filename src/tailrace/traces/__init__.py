"""The reading side: what a tape says, as numbers, events, text and files."""

from tailrace.traces.export import FORMATS, as_converted, as_json, as_jsonl, as_wire
from tailrace.traces.filter import parse_filter, parse_span
from tailrace.traces.reading import Pace, TimedEvent, deltas, pace, timed_events

__all__ = [
    "FORMATS",
    "Pace",
    "TimedEvent",
    "as_converted",
    "as_json",
    "as_jsonl",
    "as_wire",
    "deltas",
    "pace",
    "parse_filter",
    "parse_span",
    "timed_events",
]
