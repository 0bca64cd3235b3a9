"""`tailrace trace search`: the tapes in whose request or answer some words are, with the pieces where they are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from tailrace.cli import listing, table
from tailrace.cli.options import config_option, load
from tailrace.llm.codec import dumps
from tailrace.llm.texts import index_texts
from tailrace.tape import Library, Tape, Texts
from tailrace.traces import Snippet, Snippets, as_row, parse_filter, parse_words

_SAY_FROM = 200
"""With fewer tapes to index, that is done before anyone has read that it is being done."""


@click.command()
@config_option
@click.argument("words", metavar="TEXT...", nargs=-1, required=True)
@click.option("-n", "count", type=click.IntRange(min=1), default=20, show_default=True, help="How many, newest first.")
@listing.filter_option
@click.option("--json", "as_lines", is_flag=True, help="One JSON object a line, with the pieces as `snippets`.")
def search(config_path: Path | None, words: tuple[str, ...], count: int, filter_text: str, as_lines: bool) -> None:
    """Show the newest tapes with all of these words in the request or in the answer.

    A word with a * behind it is the beginning of one, words in double quotes come one after the other, and what has a -
    before it must not be there: tailrace trace search '"rate limit" retr* -openai'.
    """
    sought = listing.read(parse_words, " ".join(words))
    wanted = sought & listing.read(parse_filter, filter_text)
    with load(config_path).open_library() as library:
        _catch_up(library)
        tapes = list(listing.newest(library, wanted, count))
        finder = Snippets(sought)
        found = [finder.of(_texts(library, tape)) for tape in tapes]
    if as_lines:
        for tape, snippets in zip(tapes, found, strict=True):
            pieces = [{"where": each.where, "text": each.text, "marks": each.marks} for each in snippets]
            click.echo(dumps(as_row(tape) | {"snippets": pieces}).decode())
        return
    for line, snippets in zip(listing.rows(tapes), [[], *found], strict=True):
        click.echo(line)
        for snippet in snippets:
            click.echo(f"  {snippet.where:<7}  {_styled(snippet)}")
    if not tapes:
        click.echo("no tape has these words", err=True)


def _catch_up(library: Library) -> None:
    """Makes what searches do not know yet known to them, the newest first. If there is much of it that is said, and
    Ctrl-C searches without the rest."""
    total = library.unindexed()
    if not total:
        return
    is_shown, is_live = total >= _SAY_FROM, sys.stderr.isatty()

    def progress(count: int) -> None:
        if is_shown and is_live:
            click.echo(f"\r{min(count, total):,} of {total:,}", err=True, nl=False)

    if is_shown:
        click.echo(f"making {total:,} tapes known to the search; Ctrl-C searches without the rest", err=True)
    try:
        library.index_all(progress=progress)
    except KeyboardInterrupt:
        if not is_shown:
            raise
    if is_shown and is_live:
        click.echo(err=True)


def _texts(library: Library, tape: Tape) -> Texts:
    return index_texts(tape, library.exchange(tape.id).request_body, library.frames(tape.id))


def _styled(snippet: Snippet) -> str:
    return "".join(_pieces(snippet))


def _pieces(snippet: Snippet) -> Iterator[str]:
    at = 0
    for start, end in snippet.marks:
        yield table.plain(snippet.text[at:start])
        yield click.style(table.plain(snippet.text[start:end]), bold=True)
        at = end
    yield table.plain(snippet.text[at:])
