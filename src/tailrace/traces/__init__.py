"""The reading side: what a tape says, as numbers, events, text and files."""

from tailrace.traces.cast import as_cast
from tailrace.traces.diff import Trace, TraceDiff, diff_traces
from tailrace.traces.export import FORMATS, as_converted, as_json, as_jsonl, as_wire, exported
from tailrace.traces.filter import parse_filter, parse_span, parse_words
from tailrace.traces.har import as_har
from tailrace.traces.importing import read_file, tapes_in
from tailrace.traces.live_list import LiveList
from tailrace.traces.live_stream import LiveTrace, live_trace
from tailrace.traces.opened import Opened
from tailrace.traces.position import position_now
from tailrace.traces.reading import Pace, TimedEvent, deltas, pace, timed_events
from tailrace.traces.row import Rows, as_row
from tailrace.traces.snippets import Snippet, Snippets

__all__ = [
    "FORMATS",
    "LiveList",
    "LiveTrace",
    "Opened",
    "Pace",
    "Rows",
    "Snippet",
    "Snippets",
    "TimedEvent",
    "Trace",
    "TraceDiff",
    "as_cast",
    "as_converted",
    "as_har",
    "as_json",
    "as_jsonl",
    "as_row",
    "as_wire",
    "deltas",
    "diff_traces",
    "exported",
    "live_trace",
    "pace",
    "parse_filter",
    "parse_span",
    "parse_words",
    "position_now",
    "read_file",
    "tapes_in",
    "timed_events",
]
