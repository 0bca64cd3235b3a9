"""Tapes: recording, storage, following, the replay clock, redaction."""

from tailrace.tape.clock import FASTEST, schedule
from tailrace.tape.finished import Finished
from tailrace.tape.library import Library
from tailrace.tape.packer import Summarise
from tailrace.tape.recorder import Health
from tailrace.tape.recording import Recording
from tailrace.tape.redaction import Redactor
from tailrace.tape.tape import (
    Ending,
    Exchange,
    Filter,
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

__all__ = [
    "FASTEST",
    "Ending",
    "Exchange",
    "Filter",
    "Finished",
    "Frame",
    "Head",
    "Headers",
    "Health",
    "Kind",
    "Library",
    "Origin",
    "Outcome",
    "Page",
    "Recording",
    "Redactor",
    "ResponseHead",
    "Summarise",
    "Summary",
    "Tape",
    "delivered",
    "schedule",
]
