"""The `tailrace` command: its groups, its exit codes and how it says that something is wrong.

Rule: stdout carries data, stderr everything else; an error is one line, and a hint where there is one. Commands
import what they need when they run, so that `trace list` does not load a web framework.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

import tailrace
from tailrace.errors import TailraceError

EXIT_FAILURE = 2
EXIT_INTERRUPTED = 130


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # The reader of our output has enough, as in `tailrace trace list | head`. Click would exit with 1.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(tailrace.__version__, prog_name="tailrace")
def cli() -> None:
    """The streaming layer for Python: relay, record, resume and replay event streams."""


def main() -> None:
    """The entry point."""
    from tailrace.cli import doctor, key, mock, sim, trace, up  # noqa: PLC0415

    cli.add_command(doctor.doctor)
    cli.add_command(key.key)
    cli.add_command(mock.mock)
    cli.add_command(sim.sim)
    cli.add_command(up.up)
    cli.add_command(trace.trace)
    try:
        cli.main(prog_name="tailrace", standalone_mode=False, color=None if _may_colour() else False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        sys.exit(EXIT_INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(EXIT_FAILURE)
    except click.UsageError as error:
        _fail(error.format_message(), None if error.ctx is None else f"`{error.ctx.command_path} --help` shows how")
    except click.ClickException as error:
        _fail(error.format_message(), None)
    except TailraceError as error:
        _fail(str(error), error.hint)


def _fail(message: str, hint: str | None) -> NoReturn:
    click.echo(f"error: {message}", err=True)
    if hint:
        click.echo(f"\nhint: {hint}", err=True)
    sys.exit(EXIT_FAILURE)


def _may_colour() -> bool:
    return not os.environ.get("NO_COLOR")


if __name__ == "__main__":
    main()
