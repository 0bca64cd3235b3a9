"""What every command takes, and what it does with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tailrace.tape import FASTEST

if TYPE_CHECKING:
    from tailrace.app.config import Config


def config_option(command: click.decorators.FC) -> click.decorators.FC:
    """`--config`, which every command takes."""
    return click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The configuration file. Default: TAILRACE_CONFIG, else ./tailrace.toml if it is there.",
    )(command)


def speed_factor(text: str) -> float:
    """What `--speed` says: a number above 0, or `max`. Raises `click.BadParameter`."""
    if text == "max":
        return FASTEST
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < FASTEST:
        raise click.BadParameter(f"{text!r} is neither a number above 0 nor 'max'", param_hint="--speed")
    return value


def load(config_path: Path | None) -> Config:
    """The configuration for a command. Raises `ConfigError`."""
    from tailrace.app.config import load_config  # noqa: PLC0415 - a command loads what it needs

    return load_config(config_path, os.environ)
