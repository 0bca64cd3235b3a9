"""What a tape says of itself, and what the room offers to the others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

import tailrace.tape
from tailrace.tape import Kind, Origin, Outcome, Tape, delivered
from tape.given import frame


def tape(**changes: Any) -> Tape:
    nothing = dict.fromkeys(Tape.__dataclass_fields__)
    known = {
        "id": "01ARYZ6S41TSV4RRFFQ69G5FAV",
        "started_at_ns": 1_469_918_176_385_000_000,
        "kind": Kind.STREAM,
        "path": "/v1/chat/completions",
    }
    return Tape(**(nothing | known | changes))


def test_every_public_name_is_there_and_named_once() -> None:
    names = tailrace.tape.__all__

    assert all(getattr(tailrace.tape, name) is not None for name in names)
    assert len(set(names)) == len(names)


def test_a_tapes_wall_clock_time_is_in_utc() -> None:
    assert tape().started_at == datetime(2016, 7, 30, 22, 36, 16, 385_000, tzinfo=UTC)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models?", "/v1/models?a=1?b=2"])
def test_the_endpoint_is_the_path_without_its_query(path: str) -> None:
    assert tape(path=path).endpoint == "/v1/models"


def test_there_are_seven_ways_to_end() -> None:
    """They are stored as these words, so a word that changes would change what old tapes say."""
    assert [outcome.value for outcome in Outcome] == [
        "complete",
        "upstream_error",
        "truncated",
        "timeout",
        "client_gone",
        "stopped",
        "crashed",
    ]


def test_there_are_three_origins() -> None:
    """They are stored as these numbers and written as these words."""
    assert [(int(origin), origin.name.lower()) for origin in Origin] == [
        (0, "upstream"),
        (1, "tailrace"),
        (2, "converted"),
    ]


def test_what_was_converted_is_not_delivered() -> None:
    upstream, added = frame(1, 1), frame(3, 3, origin=Origin.TAILRACE)
    frames = [upstream, frame(2, 2, origin=Origin.CONVERTED), added]

    assert list(delivered(iter(frames))) == [upstream, added]
