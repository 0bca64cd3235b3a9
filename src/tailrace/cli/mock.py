"""`tailrace mock`: recorded traces as a server, with their timing and their endings."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tailrace.cli import table
from tailrace.cli.options import config_option, load, speed_factor
from tailrace.llm.codec import dumps
from tailrace.tape import Kind

if TYPE_CHECKING:
    from tailrace.traces.mock import Mock
    from tailrace.traces.mock_answer import MockTrace

MAX_SHOWN_TRACES = 20


@click.command()
@config_option
@click.argument("tape_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8091,
    show_default=True,
    help="The port to listen on; 0 takes a free one.",
)
@click.option("--speed", default="1", show_default=True, help="2 is twice as fast; 'max' does not wait.")
@click.option(
    "--fault",
    "fault_texts",
    metavar="FAULT",
    multiple=True,
    help="What goes wrong with every answer: cut:K closes the connection after K chunks, reset:K breaks it off, "
    "stall:K:S waits S seconds more before the next chunk, rechunk:N sends N bytes at a time. Repeatable.",
)
@click.option(
    "--strict/--any",
    "is_strict",
    default=True,
    show_default=True,
    help="Answer a request only with a trace of the same request, or each with the next trace, whatever it is.",
)
@click.option("--json", "as_line", is_flag=True, help="Say what is served where as one JSON line on stdout.")
def mock(
    config_path: Path | None,
    tape_ids: tuple[str, ...],
    host: str,
    port: int,
    speed: str,
    fault_texts: tuple[str, ...],
    is_strict: bool,
    as_line: bool,
) -> None:
    """Serve recorded traces again until Ctrl-C, as they were: status, headers, chunks with their times, and the end.

    An ID may be any prefix that only one tape has. Of several traces of one request each is served once, in this
    order, and the last one from then on.
    """
    from tailrace.app.guard import is_loopback  # noqa: PLC0415 - loads the web server
    from tailrace.app.serving import bind  # noqa: PLC0415
    from tailrace.traces.mock import LOOPBACK_NAMES, Mock  # noqa: PLC0415
    from tailrace.traces.mock_answer import load_traces  # noqa: PLC0415
    from tailrace.traces.mock_faults import parse_faults  # noqa: PLC0415
    from tailrace.traces.mock_matching import Shelf  # noqa: PLC0415

    pace_factor = speed_factor(speed)
    try:
        faults = parse_faults(fault_texts)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--fault") from error
    config = load(config_path)
    with config.open_library(read_only=True) as library:
        traces = load_traces(library, tape_ids)
    server = Mock(
        Shelf(traces, config.library.redactor(), takes_any=not is_strict),
        lambda line: click.echo(table.plain(line), err=True),
        speed=pace_factor,
        faults=faults,
        hosts=LOOPBACK_NAMES if is_loopback(host) else None,
    )
    with bind(host, port, has_keys=True) as listener:
        port = listener.getsockname()[1]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        if not is_loopback(host):
            click.echo("warning: whoever can reach this address can read what was recorded", err=True)

        def started() -> None:
            if as_line:
                click.echo(dumps({"address": address, "traces": [_described(trace) for trace in traces]}))
            else:
                _say_where(address, traces)

        asyncio.run(_serve(server, listener, started))


async def _serve(server: Mock, listener: socket.socket, started: Callable[[], None]) -> None:
    """Until SIGTERM, which is a stop on request and no failure; Ctrl-C raises KeyboardInterrupt."""
    serving = asyncio.current_task()
    assert serving is not None
    is_told = False

    def stop() -> None:
        nonlocal is_told
        is_told = True
        serving.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    try:
        await server.serve(listener, started)
    except asyncio.CancelledError:
        if not is_told:
            raise


def _described(trace: MockTrace) -> dict[str, object]:
    tape = trace.tape
    return {
        "id": tape.id,
        "type": tape.kind.capitalize(),
        "method": tape.method,
        "path": tape.path,
        "model": tape.model,
        "http_status": tape.status,
        "outcome": tape.outcome,
        "chunks": len(trace.chunks),
        "bytes": trace.byte_count,
        "duration_ns": trace.end_ns,
        "end": trace.end,
    }


def _say_where(address: str, traces: list[MockTrace]) -> None:
    head = ("ID", "TYPE", "REQUEST", "MODEL", "STATUS", "OUTCOME", "CHUNKS", "DURATION")
    body = [_row(trace) for trace in traces[:MAX_SHOWN_TRACES]]
    click.echo(f"{_counted(len(traces))} at {address}\n", err=True)
    for line in table.rows(head, body, right=frozenset({6, 7})):
        click.echo(f"  {line}", err=True)
    if len(traces) > MAX_SHOWN_TRACES:
        click.echo(f"  and {len(traces) - MAX_SHOWN_TRACES} more", err=True)
    click.echo(f"\nFor the OpenAI SDK: OPENAI_BASE_URL={address}/v1 OPENAI_API_KEY=none\n", err=True)


def _counted(count: int) -> str:
    return "One trace is served" if count == 1 else f"{count} traces are served"


def _row(trace: MockTrace) -> tuple[str, ...]:
    tape = trace.tape
    return (
        tape.id,
        "Stream" if tape.kind is Kind.STREAM else "Normal",
        table.plain(f"{tape.method} {tape.path}"),
        table.plain(tape.model or "-"),
        "-" if tape.status is None else str(tape.status),
        tape.outcome or "open",
        str(len(trace.chunks)),
        table.milliseconds(trace.end_ns),
    )
