"""What the commands share that show tapes in a list: the filter with its errors, the pages, the rows."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator

import click

from tailrace.cli import table
from tailrace.errors import FilterError
from tailrace.tape import Filter, Kind, Library, Outcome, Tape

HEAD = ("ID", "TIME", "TYPE", "MODEL", "OUTCOME", "TTFT", "DURATION", "CHUNKS", "TOKENS")
_RIGHT = frozenset({5, 6, 7, 8})
_COLOURS = {Outcome.COMPLETE: "green", None: "blue", Outcome.CLIENT_GONE: "yellow", Outcome.STOPPED: "yellow"}
_PAGE = 500


def filter_option(command: click.decorators.FC) -> click.decorators.FC:
    """`--filter`."""
    return click.option(
        "--filter",
        "filter_text",
        default="",
        metavar="FILTER",
        help="Such as 'model:smol outcome:truncated ttft>500ms tag:team=red'; see docs/reference/filter.md.",
    )(command)


def read(parse: Callable[[str], Filter], text: str) -> Filter:
    """What a text says; where it cannot be read, the error shows the place."""
    try:
        return parse(text)
    except FilterError as error:
        shown = "".join(each if each.isprintable() else " " for each in text)
        before, wrong = _width(shown[: error.start]), _width(shown[error.start : error.end])
        message = f"{table.plain(str(error))}\n  {shown}\n  {' ' * before}{'^' * max(1, wrong)}"
        raise FilterError(message, hint=error.hint, start=error.start, end=error.end) from error


def newest(library: Library, wanted: Filter, count: int) -> Iterator[Tape]:
    """At most so many tapes, newest first."""
    cursor: str | None = None
    while count > 0:
        page = library.list(wanted, cursor=cursor, limit=min(count, _PAGE))
        yield from page.tapes
        count -= len(page.tapes)
        cursor = page.next_cursor
        if cursor is None:
            return


def rows(tapes: list[Tape]) -> Iterator[str]:
    """The lines of the table: its head, and one for each tape."""
    return table.rows(HEAD, [_row(tape) for tape in tapes], right=_RIGHT)


def styled_outcome(tape: Tape) -> str:
    """How it ended, in the colour of that."""
    return click.style(tape.outcome or "open", fg=_COLOURS.get(tape.outcome, "red"))


def _row(tape: Tape) -> tuple[str, ...]:
    return (
        tape.id,
        f"{tape.started_at.astimezone():%Y-%m-%d %H:%M:%S}",
        click.style("Stream", fg="magenta") if tape.kind is Kind.STREAM else "Normal",
        table.plain(tape.model or "-"),
        styled_outcome(tape),
        table.milliseconds(tape.first_content_ns),
        table.milliseconds(tape.duration_ns),
        str(tape.chunk_count),
        "-" if tape.output_tokens is None else str(tape.output_tokens),
    )


def _width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(unicodedata.combining(each) > 0 for each in text)
