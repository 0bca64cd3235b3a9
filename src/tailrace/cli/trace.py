"""`tailrace trace`: list, view, replay, export and remove what was recorded. Works while the server runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from tailrace.cli import listing, table
from tailrace.cli.copying import copy
from tailrace.cli.diff import diff
from tailrace.cli.options import config_option, load, speed_factor
from tailrace.cli.search import search
from tailrace.cli.trace_import import import_
from tailrace.llm import DeltaKind, named
from tailrace.llm.codec import dumps
from tailrace.llm.plain import PLAIN
from tailrace.llm.timing import Timing, measure
from tailrace.tape import Filter, Frame, Kind, Library, Tape, delivered, schedule
from tailrace.traces import (
    FORMATS,
    Rows,
    as_converted,
    as_json,
    as_wire,
    deltas,
    exported,
    pace,
    parse_filter,
    parse_span,
    timed_events,
)


@click.group()
def trace() -> None:
    """Look at recorded streams. An ID may be any prefix that only one tape has."""


trace.add_command(copy)


trace.add_command(diff)


trace.add_command(import_)


trace.add_command(search)


@trace.command("list")
@config_option
@click.option("-n", "count", type=click.IntRange(min=1), default=20, show_default=True, help="How many, newest first.")
@listing.filter_option
@click.option("--since", help="Only from the last 30m, 1h, 7d, ...")
@click.option("--json", "as_lines", is_flag=True, help="One JSON object a line.")
def list_(config_path: Path | None, count: int, filter_text: str, since: str | None, as_lines: bool) -> None:
    """Show the newest tapes."""
    wanted = listing.read(parse_filter, filter_text)
    if since is not None:
        wanted &= Filter.where(since=time.time_ns() - parse_span(since))
    with _library(config_path) as library:
        tapes = list(listing.newest(library, wanted, count))
        if as_lines:
            rows = Rows(library)
            for tape in tapes:
                click.echo(dumps(rows.row(tape)).decode())
            return
    for line in listing.rows(tapes):
        click.echo(line)
    if not tapes:
        click.echo("no tapes yet: send a request through the gateway, or loosen the filter", err=True)


@trace.command()
@config_option
@click.argument("tape_id", metavar="ID")
@click.option("--events", "what", flag_value="events", help="One line for each event, with its time.")
@click.option("--raw", "what", flag_value="raw", help="The bytes as the client got them.")
@click.option("--converted", "what", flag_value="converted", help="The upstream's bytes, if the client got others.")
@click.option("--json", "what", flag_value="json", help="The whole trace as one JSON document.")
def view(config_path: Path | None, tape_id: str, what: str | None) -> None:
    """Show one tape: what was asked, the pace, and the text."""
    with _library(config_path) as library:
        tape = library.open(tape_id)
        frames = library.frames(tape.id)
        match what:
            case "raw":
                _write(as_wire(frames))
            case "converted":
                _show_converted(frames)
            case "json":
                click.echo(dumps(as_json(tape, library.exchange(tape.id), frames)).decode())
            case "events":
                for timed in timed_events(frames, named(tape.dialect)):
                    mark = " (incomplete)" if timed.event.incomplete else ""
                    data = (timed.event.data or "").replace("\n", "\\n")
                    _say(f"{timed.offset_ns / 1e6:12.3f} ms  {timed.event.event}{mark}  {data}")
            case _:
                _show(tape, list(frames))


@trace.command()
@config_option
@click.argument("tape_id", metavar="ID")
@click.option("--speed", default="1", show_default=True, help="2 is twice as fast; 'max' does not wait.")
@click.option("--max-gap", type=click.FloatRange(min=0), help="Shorten each silence to at most this many seconds.")
@click.option("--step", is_flag=True, help="Wait for a key before each chunk.")
@click.option("--raw", is_flag=True, help="Play the bytes of the wire instead of the text.")
def replay(config_path: Path | None, tape_id: str, speed: str, max_gap: float | None, step: bool, raw: bool) -> None:
    """Play a tape to standard output as it happened, from the request on.

    An LLM stream plays its text, anything else its bytes.
    """
    pace_factor = speed_factor(speed)
    with _library(config_path) as library:
        tape = library.open(tape_id)
        plays = _played(tape, library.frames(tape.id), raw=raw)
        started_ns = time.perf_counter_ns()
        for due_ns, frame in schedule(plays, speed=pace_factor, max_gap_s=max_gap):
            if step:
                click.pause("", err=True)
            else:
                time.sleep(max(0, started_ns + due_ns - time.perf_counter_ns()) / 1e9)
            _write(iter((frame.data,)))
    if sys.stdout.isatty():
        click.echo()
    ending = table.plain(tape.error) if tape.error else table.milliseconds(tape.duration_ns)
    click.echo(f"{tape.outcome or 'still open'}: {ending}", err=True)


@trace.command()
@config_option
@click.argument("tape_id", metavar="ID")
@click.option("--format", "format_", type=click.Choice(FORMATS), required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file instead of stdout.")
def export(config_path: Path | None, tape_id: str, format_: str, output: Path | None) -> None:
    """Write one tape as a file.

    As a JSON document (json), as lines with every chunk (jsonl), for browsers' tools (har), as the wire's bytes
    (sse), or for asciinema (cast).
    """
    with _library(config_path) as library:
        tape = library.open(tape_id)
        parts = exported(format_, tape, library.exchange(tape.id), library.frames(tape.id))
        if output is None:
            _write(parts)
        else:
            try:
                with output.open("wb") as file:
                    file.writelines(parts)
            except OSError as error:
                raise click.FileError(str(output), error.strerror or str(error)) from error


@trace.command()
@config_option
@click.argument("tape_ids", metavar="[ID]...", nargs=-1)
@click.option("--older-than", help="Every ended tape older than 12h, 30d, ...")
def rm(config_path: Path | None, tape_ids: tuple[str, ...], older_than: str | None) -> None:
    """Delete tapes. One that is still being recorded stays."""
    if bool(tape_ids) == (older_than is not None):
        raise click.UsageError("name tapes, or give --older-than")
    with _library(config_path, read_only=False) as library:
        if older_than is not None:
            count = asked = library.delete_before(time.time_ns() - parse_span(older_than))
        else:
            ids = {library.open(tape_id).id for tape_id in tape_ids}
            count, asked = library.delete(ids), len(ids)
    click.echo(f"deleted {count} tape{'' if count == 1 else 's'}", err=True)
    if count < asked:
        click.echo("the others are still being recorded", err=True)
        sys.exit(1)


def _library(config_path: Path | None, *, read_only: bool = True) -> Library:
    return load(config_path).open_library(read_only=read_only)


def _show(tape: Tape, frames: list[Frame]) -> None:
    measured, converted_bytes = pace(tape), sum(map(len, as_converted(frames)))
    lines = [
        ("ID", tape.id),
        ("Time", f"{tape.started_at.astimezone():%Y-%m-%d %H:%M:%S.%f %z}"),
        ("Type", "Stream" if tape.kind is Kind.STREAM else "Normal"),
        ("Request", f"{tape.method} {tape.path}"),
        ("Upstream", tape.upstream or "-"),
        ("Model", tape.model or "-"),
        ("Status", "-" if tape.status is None else str(tape.status)),
        ("Outcome", listing.styled_outcome(tape) + (f": {table.plain(tape.error)}" if tape.error else "")),
        ("Duration", table.milliseconds(tape.duration_ns)),
    ]
    if tape.kind is Kind.STREAM:
        lines += [
            ("Total chunks", str(measured.chunk_count)),
            ("Stream duration", table.milliseconds(measured.stream_duration_ns)),
            ("First-chunk latency", table.milliseconds(measured.first_chunk_latency_ns)),
            ("Time to first content", table.milliseconds(tape.first_content_ns)),
            ("Average time per chunk", table.milliseconds(measured.average_gap_ns)),
            *_timing(measure(tape, frames)),
        ]
    lines.append(("Bytes", f"{sum(map(len, as_wire(frames))):,}"))
    if converted_bytes:
        lines.append(("Converted", f"from {converted_bytes:,} bytes of the upstream, which --converted shows"))
    if tape.lost_bytes:
        lines.append(("Not recorded", f"{tape.lost_bytes:,} bytes were lost while the library could not be written"))
    if tape.input_tokens is not None or tape.output_tokens is not None:
        lines.append(("Tokens", f"{_or_dash(tape.input_tokens)} in, {_or_dash(tape.output_tokens)} out"))
    if tape.cost_usd is not None:
        lines.append(("Cost", _dollars(tape.cost_usd)))
    if tape.finish_reason:
        lines.append(("Finish reason", tape.finish_reason))
    if tape.session:
        lines.append(("Session", tape.session))
    if tape.tags:
        lines.append(("Tags", ", ".join(f"{key}={value}" for key, value in tape.tags.items())))
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        click.echo(f"{name:<{width}}  {value if name == 'Outcome' else table.plain(value)}")
    click.echo()
    body = b"".join(frame.data for frame in _played(tape, iter(frames), raw=tape.kind is Kind.NORMAL))
    _say(body.decode("utf-8", "replace"))


def _timing(timing: Timing) -> Iterator[tuple[str, str]]:
    """The lines about a stream's events: of what there was none, there is no line."""
    milliseconds, gaps, stalls = table.milliseconds, timing.event_gaps, timing.stalls
    yield "Time to first event", milliseconds(timing.first_event_ns)
    if timing.first_reasoning_ns is not None:
        yield "Time to first reasoning", milliseconds(timing.first_reasoning_ns)
    if gaps.count:
        parts = {"p50": gaps.p50_ns, "p95": gaps.p95_ns, "p99": gaps.p99_ns, "max": gaps.max_ns}
        yield "Gaps between events", ", ".join(f"{name} {milliseconds(value)}" for name, value in parts.items())
    if stalls.count:
        longest, total = milliseconds(stalls.longest_ns), milliseconds(stalls.total_ns)
        yield "Stalls", f"{stalls.count}, the longest {longest}, together {total}"
    if timing.output_tokens_per_s is not None:
        yield "Tokens per second", f"{timing.output_tokens_per_s:.1f}"
    if timing.own_heartbeats or timing.upstream_heartbeats:
        yield "Heartbeats", f"{timing.own_heartbeats} by Tailrace, {timing.upstream_heartbeats} by the upstream"


def _show_converted(frames: Iterator[Frame]) -> None:
    parts = list(as_converted(frames))
    if not parts:
        click.echo("nothing of this answer was converted; --raw shows what the client got", err=True)
        sys.exit(1)
    _write(iter(parts))


def _played(tape: Tape, frames: Iterator[Frame], *, raw: bool) -> Iterator[Frame]:
    """The frames to play: the wire's, or for an LLM stream one for each piece of text."""
    dialect = named(tape.dialect)
    if raw or tape.kind is Kind.NORMAL or dialect is PLAIN:
        return delivered(frames)
    pieces = deltas(dialect, timed_events(frames, dialect))
    return (
        Frame(number, timed.offset_ns, timed.origin, _shown(delta.text).encode("utf-8", "replace"))
        for number, (timed, delta) in enumerate(pieces, 1)
        if delta.kind is DeltaKind.TEXT
    )


def _shown(text: str) -> str:
    """Text on its way to a pipe is as it is; a terminal obeys none of the control characters in it."""
    return table.plain(text, keep="\n\t") if sys.stdout.isatty() else text


def _say(text: str) -> None:
    click.echo(_shown(text), color=True)  # not that it has any: click would take escape sequences out for a pipe


def _dollars(value: float) -> str:
    return "<$0.000001" if 0 < value < 0.000001 else f"${value:,.6f}"


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)


def _write(parts: Iterator[bytes]) -> None:
    for part in parts:
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()
