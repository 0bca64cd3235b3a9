"""`tailrace key`: create, list and revoke the keys that the gateway asks its callers for. A running server follows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click

from tailrace.cli import table
from tailrace.cli.options import config_option, load
from tailrace.errors import FilterError
from tailrace.gateway.keys import Key, KeyFile, KeyState, keys_path
from tailrace.llm.codec import dumps
from tailrace.traces import parse_span

MAX_NAME_CHARACTERS = 100

_COLOURS = {KeyState.ACTIVE: "green", KeyState.EXPIRED: "yellow", KeyState.REVOKED: "red"}


@click.group()
def key() -> None:
    """Say who may call the gateway. As soon as there is a key, every call needs one."""


@key.command()
@config_option
@click.option("--name", required=True, help="Whose it is, or what for.")
@click.option(
    "--model", "models", multiple=True, metavar="PATTERN", help="A model it may use: 'gpt-4*', 'openai/*'. Repeatable."
)
@click.option("--requests-per-minute", type=click.IntRange(min=1), help="How often it may ask.")
@click.option("--streams", type=click.IntRange(min=1), help="How many requests it may have under way at once.")
@click.option("--expires", metavar="90d|2026-12-31", help="After this long, or with the end of this day (UTC).")
@click.option("--json", "as_document", is_flag=True, help="One JSON document instead of the key alone.")
def create(
    config_path: Path | None,
    name: str,
    models: tuple[str, ...],
    requests_per_minute: int | None,
    streams: int | None,
    expires: str | None,
    as_document: bool,
) -> None:
    """Make a key, and write it out this once.

    Standard output gets the key alone. It is stored nowhere: whoever loses it needs a new one.
    """
    created, text = _file(config_path).create(
        name=_checked_name(name),
        models=_checked_models(models),
        requests_per_minute=requests_per_minute,
        streams=streams,
        expires_at=None if expires is None else _end(expires),
    )
    click.echo(dumps({**_as_object(created), "key": text}).decode() if as_document else text)
    click.echo(f"created {created.id}: keep the key now, it cannot be shown again", err=True)


@key.command("list")
@config_option
@click.option("--json", "as_lines", is_flag=True, help="One JSON object a line.")
def list_(config_path: Path | None, as_lines: bool) -> None:
    """Show the keys there are, also those that are not good any more."""
    keys = _file(config_path).all()
    if as_lines:
        for each in keys:
            click.echo(dumps(_as_object(each)).decode())
        return
    head = ("ID", "NAME", "MODELS", "REQUESTS/MIN", "STREAMS", "CREATED", "EXPIRES", "STATE")
    for line in table.rows(head, [_row(each) for each in keys], right=frozenset({3, 4})):
        click.echo(line)
    if not keys:
        click.echo("no keys: the gateway answers only this machine, and whoever is on it", err=True)


@key.command()
@config_option
@click.argument("key_id", metavar="ID")
def revoke(config_path: Path | None, key_id: str) -> None:
    """End a key for good. ID may be any prefix that only one key has, or the key itself."""
    revoked = _file(config_path).revoke(key_id)
    if revoked is None:
        click.echo("there is no such key: `tailrace key list` shows what there is", err=True)
        sys.exit(1)
    click.echo(f"revoked {revoked.id} ({table.plain(revoked.name)})", err=True)


def _file(config_path: Path | None) -> KeyFile:
    config = load(config_path)
    return KeyFile(keys_path(config.gateway.keys_file, config.library.url))


def _checked_name(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME_CHARACTERS:
        raise click.BadParameter(
            f"it has {len(name)} characters, expected 1 to {MAX_NAME_CHARACTERS}", param_hint="--name"
        )
    return _printable(name, "--name")


def _checked_models(models: Sequence[str]) -> list[str]:
    if not all(map(str.strip, models)):
        raise click.BadParameter("a pattern is empty; without --model, every model is allowed", param_hint="--model")
    return [_printable(model.strip(), "--model") for model in models]


def _printable(text: str, option: str) -> str:
    if not text.isprintable():
        raise click.BadParameter(f"{text!r} has a character that cannot be shown", param_hint=option)
    return text


def _end(text: str) -> datetime:
    """When a key expires that is good for a time span, or through a day. Raises `click.BadParameter`."""
    now = datetime.now(UTC).replace(microsecond=0)
    try:
        end = _end_of_day(text) or now + timedelta(seconds=parse_span(text) // 1_000_000_000)
    except (FilterError, OverflowError) as error:
        raise click.BadParameter(
            f"{text!r} is neither a time span such as 90d nor a day such as 2026-12-31", param_hint="--expires"
        ) from error
    if end <= now:
        raise click.BadParameter(f"{text!r} is over", param_hint="--expires")
    return end


def _end_of_day(text: str) -> datetime | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


def _as_object(each: Key) -> dict[str, object]:
    shown = {field.name: getattr(each, field.name) for field in fields(Key)}
    return {**shown, "state": each.state(datetime.now(UTC))}


def _row(each: Key) -> tuple[str, ...]:
    state = each.state(datetime.now(UTC))
    return (
        each.id,
        table.plain(each.name),
        table.plain(", ".join(each.models)) or "all",
        "-" if each.requests_per_minute is None else str(each.requests_per_minute),
        "-" if each.streams is None else str(each.streams),
        f"{each.created_at.astimezone():%Y-%m-%d %H:%M}",
        "-" if each.expires_at is None else f"{each.expires_at.astimezone():%Y-%m-%d %H:%M}",
        click.style(state, fg=_COLOURS[state]),
    )
