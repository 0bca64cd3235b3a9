"""Tapes: recording, storage, following, the replay clock, redaction."""

from tailrace.tape.clock import FASTEST, schedule
from tailrace.tape.filter import Between, Condition, Field, Filter, Operator
from tailrace.tape.finished import Finished
from tailrace.tape.gaps import longest_gaps
from tailrace.tape.library import Library
from tailrace.tape.packer import Frames, Summarise
from tailrace.tape.recorder import Health
from tailrace.tape.recording import Recording
from tailrace.tape.redaction import Redactor
from tailrace.tape.stores.sqlite_marks import Marker
from tailrace.tape.tape import (
    Ending,
    Exchange,
    Frame,
    Head,
    Headers,
    Kind,
    Origin,
    Outcome,
    Page,
    ResponseHead,
    Summary,
    Tape,
    delivered,
)
from tailrace.tape.texts import Index, Texts

__all__ = [
    "FASTEST",
    "Between",
    "Condition",
    "Ending",
    "Exchange",
    "Field",
    "Filter",
    "Finished",
    "Frame",
    "Frames",
    "Head",
    "Headers",
    "Health",
    "Index",
    "Kind",
    "Library",
    "Marker",
    "Operator",
    "Origin",
    "Outcome",
    "Page",
    "Recording",
    "Redactor",
    "ResponseHead",
    "Summarise",
    "Summary",
    "Tape",
    "Texts",
    "delivered",
    "longest_gaps",
    "schedule",
]
