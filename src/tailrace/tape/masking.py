"""Redaction of what is derived from a tape, before it is written beside it.

What is stored is redacted byte for byte, and JSON in a JSON string is no field there. Read, it is one: so a preview and
the words to search for are looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tailrace.tape.packer import Frames, Summarise
from tailrace.tape.redaction import Redactor
from tailrace.tape.tape import Frame, Summary, Tape
from tailrace.tape.texts import Index, Texts


def masked_summary(summarise: Summarise, redactor: Redactor) -> Summarise:
    """The same summaries, without secrets in their prompts."""

    def masked(tape: Tape, request_body: bytes, frames: Frames) -> Summary:
        summary = summarise(tape, request_body, frames)
        return summary if summary.prompt is None else replace(summary, prompt=redactor.text(summary.prompt))

    return masked


def masked_texts(index: Index, redactor: Redactor) -> Index:
    """The same texts, without secrets."""

    def masked(tape: Tape, request_body: bytes, frames: Iterable[Frame]) -> Texts:
        texts = index(tape, request_body, frames)
        return Texts(redactor.text(texts.request), redactor.text(texts.answer))

    return masked
