"""The two values that cross the wire, and what the package exports."""

from __future__ import annotations

import pytest

import tailrace.sse
from tailrace.sse import Comment, Event


def test_an_event_without_arguments_is_an_empty_message() -> None:
    event = Event()
    assert (event.data, event.event, event.id, event.retry, event.incomplete) == (
        "",
        "message",
        None,
        None,
        False,
    )


def test_events_with_equal_fields_are_equal() -> None:
    assert Event("a", "b", "c", 4) == Event(data="a", event="b", id="c", retry=4)
    assert Event("a") != Event("a", incomplete=True)


@pytest.mark.parametrize("value", [Event(), Comment("ping")], ids=lambda value: type(value).__name__)
def test_a_misspelt_attribute_is_an_error_because_there_are_slots(value: object) -> None:
    with pytest.raises(AttributeError):
        value.dta = "x"  # type: ignore[attr-defined]  # that is the point


def test_the_package_exports_its_public_names_and_no_others() -> None:
    names = tailrace.sse.__all__
    assert all(hasattr(tailrace.sse, name) for name in names)
    assert set(names) == {
        "MAX_RECONNECTION_TIME_MS",
        "Boundary",
        "Comment",
        "Decoder",
        "Event",
        "encode",
        "encode_comment",
    }
