"""`tailrace doctor`: what is well, what is not, and which upstreams stream."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tailrace.cli import table
from tailrace.cli.options import config_option, load
from tailrace.llm.codec import dumps

if TYPE_CHECKING:
    from tailrace.app.finding import Finding

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
_SUBJECT_WIDTH = len("configuration")


@click.command()
@config_option
@click.option(
    "--model", "models", multiple=True, metavar="NAME", help="Probe this model, or upstream/model. Repeatable."
)
@click.option("--all-models", is_flag=True, help="Probe every model that each upstream has.")
@click.option(
    "--probe/--no-probe",
    "probes",
    default=True,
    help="Whether models are asked at all; else nothing is paid.  [default: probe]",
)
@click.option("--refresh", is_flag=True, help="First forget what is remembered about streaming.")
@click.option("--json", "as_document", is_flag=True, help="One JSON document.")
def doctor(
    config_path: Path | None,
    models: tuple[str, ...],
    all_models: bool,
    probes: bool,
    refresh: bool,
    as_document: bool,
) -> None:
    """Say what is well and what is not: configuration, library, keys, server, upstreams.

    Each upstream is asked for its models. Then models are asked for one token each, twice: as a stream and in one
    piece. THIS COSTS A FEW TOKENS. What is found out about streaming is remembered, and a running gateway knows it
    within a second.

    Without --model, those models are asked that the configuration names, or else the first one that an upstream has.
    """
    from tailrace.app.doctor import examine  # noqa: PLC0415 - loads what asks upstreams
    from tailrace.app.finding import Verdict, Wishes  # noqa: PLC0415

    if models and (all_models or not probes):
        raise click.UsageError("--model goes neither with --all-models nor with --no-probe")
    findings = examine(load(config_path), Wishes(probes, refresh, models, all_models))
    found = asyncio.run(_heard(findings, is_shown=not as_document))
    verdicts = [finding.verdict for finding in found]
    if as_document:
        overall = next(verdict for verdict in reversed(Verdict) if verdict in verdicts)
        click.echo(dumps({"verdict": overall, "findings": [_as_object(finding) for finding in found]}).decode())
    else:
        click.echo(f"{verdicts.count(Verdict.FAIL)} wrong, {verdicts.count(Verdict.WARN)} to look at", err=True)
    if Verdict.FAIL in verdicts:
        sys.exit(1)


async def _heard(findings: AsyncIterator[Finding], *, is_shown: bool) -> list[Finding]:
    """All of them; they are shown as they come, those of one area together."""
    found: list[Finding] = []
    area: list[Finding] = []
    async for finding in findings:
        if area and finding.area != area[0].area:
            _show(area, is_shown=is_shown)
            area = []
        area.append(finding)
        found.append(finding)
    _show(area, is_shown=is_shown)
    return found


def _show(area: Sequence[Finding], *, is_shown: bool) -> None:
    if is_shown:
        for line in _lines(area):
            click.echo(line)


def _lines(area: Sequence[Finding]) -> Iterator[str]:
    """One line for each finding, and one for its hint."""
    subjects = [table.plain(finding.subject) for finding in area]
    width = max(_SUBJECT_WIDTH, *map(len, subjects))
    for finding, subject in zip(area, subjects, strict=True):
        verdict = click.style(f"{finding.verdict:<4}", fg=_COLOURS[finding.verdict])
        begin = f"{verdict}  {finding.area:<8}  {subject:<{width}}  "
        yield begin + table.plain(finding.message)
        if finding.hint:
            yield " " * len(click.unstyle(begin)) + f"hint: {table.plain(finding.hint)}"


def _as_object(finding: Finding) -> dict[str, object]:
    return {
        "area": finding.area,
        "subject": finding.subject,
        "verdict": finding.verdict,
        "message": finding.message,
        "hint": finding.hint,
        **finding.facts,
    }
