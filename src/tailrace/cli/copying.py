"""`tailrace trace copy`: the request of a trace as something to run."""

from __future__ import annotations

from pathlib import Path

import click

from tailrace.cli.options import config_option, load
from tailrace.traces.copying import FORMS, copied


@click.command("copy")
@config_option
@click.argument("tape_id", metavar="ID")
@click.option("--as", "form", type=click.Choice(FORMS), default="curl", show_default=True, help="What to write.")
@click.option("--address", help="The server that is asked. Default: the one of the configuration.")
def copy(config_path: Path | None, tape_id: str, form: str, address: str | None) -> None:
    """Write the request of a tape as something to run.

    For curl, for Python, or as a test for pytest of the shape of the answer. Keys are taken from the environment.
    """
    config = load(config_path)
    server = config.server
    with config.open_library(read_only=True) as library:
        tape = library.open(tape_id)
        exchange = library.exchange(tape.id)
    if address is None:
        host = f"[{server.host}]" if ":" in server.host else server.host
        address = f"http://{host}:{server.port}"
    # Color: click would take what it takes for an escape sequence out of the text; there is none in it.
    click.echo(copied(form, tape, exchange, address.rstrip("/")), nl=False, color=True)
