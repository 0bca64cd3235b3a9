"""`tailrace trace import`: tapes from a file, into the library."""

from __future__ import annotations

from pathlib import Path

import click

from tailrace.cli.options import config_option, load
from tailrace.traces import read_file


@click.command("import")
@config_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def import_(config_path: Path | None, file: Path) -> None:
    """Take tapes in from a file: JSON lines (export --format jsonl), the trace as JSON (json), the streams of a HAR
    file (har), or the bytes of an event stream (sse).

    Which it is, is seen from what is in it. Each tape gets a new id, which is written out, and the tag imported=OLD-ID.
    """
    try:
        tapes = read_file(file)
    except OSError as error:
        raise click.FileError(str(file), error.strerror or str(error)) from error
    with load(config_path).open_library() as library:
        for tape in tapes:
            click.echo(library.add(tape))
    click.echo(f"imported {len(tapes)} tape{'' if len(tapes) == 1 else 's'}", err=True)
