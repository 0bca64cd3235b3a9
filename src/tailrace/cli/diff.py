"""`tailrace trace diff`: two tapes side by side, for a person or, with --json, for a program."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from tailrace.cli import table
from tailrace.cli.options import config_option, load
from tailrace.llm.codec import dumps
from tailrace.tape import Library
from tailrace.traces.changes import Change, ChangeKind, PieceKind, TextPiece, text_diff
from tailrace.traces.diff import Align, Metric, ToolCallDiff, Trace, TraceDiff, Value, diff_traces

MAX_SHOWN_CHARACTERS = 200
_AROUND_CHARACTERS = 60
"""How much of the text that is the same is shown before and after a difference."""

_EXIT_DIFFERENT = 1
_COLOURS = {ChangeKind.ADDED: "green", ChangeKind.REMOVED: "red", ChangeKind.CHANGED: "yellow"}
_MARKS = {ChangeKind.ADDED: "+", ChangeKind.REMOVED: "-", ChangeKind.CHANGED: "~"}
_TITLES = {
    "http_status": "status",
    "ttft_ns": "TTFT",
    "output_tokens_per_s": "tokens per second",
    "cost_usd": "cost",
}


@click.command()
@config_option
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--align",
    type=click.Choice(("start", "content")),
    default="start",
    show_default=True,
    help="What is 0 on the time axis in the JSON: the start, or the first content.",
)
@click.option("--json", "as_document", is_flag=True, help="One JSON document, with the times of all events.")
def diff(config_path: Path | None, a: str, b: str, align: Align, as_document: bool) -> None:
    """Compare two tapes: numbers, request, answer and tool calls.

    The exit code is 0 if they are equal and 1 if they differ. A difference in time alone is none.
    """
    settings = load(config_path).library
    with Library(settings.url, redactor=settings.redactor(), read_only=True) as library:
        traces = [_trace(library, tape_id) for tape_id in (a, b)]
    found = diff_traces(traces[0], traces[1], align=align)
    if as_document:
        click.echo(dumps(found).decode())
    else:
        for line in _lines(found):
            click.echo(line)
    if not found.is_equal:
        sys.exit(_EXIT_DIFFERENT)


def _trace(library: Library, tape_id: str) -> Trace:
    tape = library.open(tape_id)
    return Trace(tape, library.exchange(tape.id), list(library.frames(tape.id)))


def _lines(found: TraceDiff) -> Iterator[str]:
    yield "The traces are equal, apart from their timing." if found.is_equal else "The traces differ."
    yield ""
    shown = [metric for metric in found.metrics if metric.a is not None or metric.b is not None]
    head = ("", f"A {found.a}", f"B {found.b}", "DIFFERENCE")
    yield from table.rows(head, [_row(metric) for metric in shown], right=frozenset({1, 2, 3}))
    yield ""
    yield f"Request body: {_counted(len(found.request))}"
    for change in found.request:
        yield f"  {_change(change)}"
    yield ""
    yield from _answer(found)
    calls = found.tool_calls
    if calls:
        yield ""
        yield f"Tool calls: {_counted(sum(call.kind is not None for call in calls))}"
        for call in calls:
            yield from _tool_call(call)


def _counted(count: int) -> str:
    return "the same" if not count else f"{count} difference{'' if count == 1 else 's'}"


def _row(metric: Metric) -> tuple[str, str, str, str]:
    title = _TITLES.get(metric.name, metric.name.removesuffix("_ns").replace("_", " "))
    if metric.difference is None:
        difference = "" if metric.a == metric.b else click.style("differs", fg="yellow")
    elif metric.difference == 0:
        difference = "0"
    else:
        sign = "+" if metric.difference > 0 else "-"
        difference = sign + _value(metric.name, abs(metric.difference))
    return title, _value(metric.name, metric.a), _value(metric.name, metric.b), difference


def _value(name: str, value: Value) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return table.plain(value)
    if name.endswith("_ns"):
        return table.milliseconds(round(value))
    if name == "cost_usd":
        return f"${value:,.6f}"
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if name != "http_status" else str(value)


def _answer(found: TraceDiff) -> Iterator[str]:
    pieces = found.answer.pieces
    if found.is_answer_same:
        length = sum(len(piece.text) for piece in pieces)
        yield f"Answer: the same, {length:,} character{'' if length == 1 else 's'}"
        return
    yield "Answer:" if found.answer.unit == "words" else f"Answer, too long to compare by words; by {_unit(found)}:"
    yield from (f"  {line}" for line in "".join(_marked(pieces)).split("\n"))


def _unit(found: TraceDiff) -> str:
    return "lines" if found.answer.unit == "lines" else "the whole"


def _tool_call(call: ToolCallDiff) -> Iterator[str]:
    name = table.plain(call.name)
    if call.kind is None:
        yield f"    {name}: the same"
        return
    given = call.a or call.b
    arguments = "" if call.changes or given is None else f" {_json(given.arguments)}"
    yield "  " + click.style(f"{_MARKS[call.kind]} {name}{arguments}", fg=_COLOURS[call.kind])
    for change in call.changes:
        yield f"      {_change(change)}"


def _change(change: Change) -> str:
    path = table.plain((change.path_a if change.path_b is None else change.path_b) or "/")
    begun = f"{_MARKS[change.kind]} {path}"
    match change.kind:
        case ChangeKind.ADDED:
            return click.style(f"{begun}  {_json(change.new)}", fg=_COLOURS[change.kind])
        case ChangeKind.REMOVED:
            return click.style(f"{begun}  {_json(change.old)}", fg=_COLOURS[change.kind])
    if isinstance(change.old, str) and isinstance(change.new, str):
        words = "".join(_marked(text_diff(change.old, change.new).pieces)).replace("\n", "\\n")
    else:
        pieces = ((PieceKind.REMOVED, _json(change.old)), (PieceKind.ADDED, _json(change.new)))
        words = "".join(_marked(TextPiece(kind, text) for kind, text in pieces))
    return f"{click.style(begun, fg=_COLOURS[change.kind])}  {words}"


def _marked(pieces: Iterable[TextPiece]) -> Iterator[str]:
    """The words, those of one side alone between marks. Of a long text that is the same, the middle is left out."""
    given = list(pieces)
    for place, piece in enumerate(given):
        text = table.plain(piece.text, keep="\n\t")
        match piece.kind:
            case PieceKind.REMOVED:
                yield click.style(f"[-{text}-]", fg="red")
            case PieceKind.ADDED:
                yield click.style(f"{{+{text}+}}", fg="green")
            case _:
                before = _AROUND_CHARACTERS if place else 0
                after = _AROUND_CHARACTERS if place < len(given) - 1 else 0
                yield _without_middle(text, before, after)


def _without_middle(text: str, before: int, after: int) -> str:
    left_out = len(text) - before - after
    if left_out <= MAX_SHOWN_CHARACTERS:
        return text
    return f"{text[:before]}… {left_out:,} characters …{text[len(text) - after :]}"


def _json(value: object) -> str:
    text = table.plain(dumps(value).decode())
    left_out = len(text) - MAX_SHOWN_CHARACTERS
    return text if left_out <= 0 else f"{text[:MAX_SHOWN_CHARACTERS]}… {left_out:,} characters more"
