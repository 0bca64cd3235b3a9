"""What `tailrace doctor` has found, for people and for programs, and what it was asked to look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from tailrace.app.probe import PROBE_S
from tailrace.llm.codec import Object


class Verdict(StrEnum):
    """How it is."""

    OK = "ok"
    WARN = "warn"
    """It works, but perhaps not as it is meant to."""
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `area` is an upstream's name, or `tailrace` for the rest."""

    area: str
    subject: str
    verdict: Verdict
    message: str
    hint: str | None = None
    facts: Object = field(default_factory=dict)
    """The same for programs."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to be looked at. `models` are names, or `upstream/name`; without any, those that the configuration
    names, or else the first one that an upstream has."""

    probes: bool = True
    refresh: bool = False
    models: tuple[str, ...] = ()
    all_models: bool = False
    probe_s: float = PROBE_S
