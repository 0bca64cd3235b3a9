"""What is told of an exchange when it is over."""

from __future__ import annotations

import pytest

from tailrace.gateway.deadlines import Moments
from tailrace.gateway.refusal import Refusal
from tailrace.gateway.report import Phase, Report
from tailrace.gateway.request import Request
from tailrace.llm import Facts, StreamWatch, named, of_path
from tailrace.tape import Kind, Outcome

PATH = "/v1/chat/completions"
START = 1000


def report() -> Report:
    return Report(Request("POST", PATH, (), of_path(PATH)), START, "T", Kind.STREAM)


def closed(error: Refusal | None = None, **moments: int | bool) -> Report:
    """Ended after 900 ns, with these moments, which are given from its start."""
    found = Moments(START, awaits_stream=True)
    for name, value in moments.items():
        setattr(found, name, value if isinstance(value, bool) else START + value)
    told = report()
    told.close(Outcome.COMPLETE if error is None else Outcome.TIMEOUT, error, found, START + 900)
    return told


def test_times_count_from_the_start() -> None:
    told = closed(first_asked_at_ns=10, asked_at_ns=200, is_sent=True, head_at_ns=300, first_byte_at_ns=400)

    assert (told.outcome, told.duration_ns, told.overhead_ns) == (Outcome.COMPLETE, 900, 10)
    assert (told.head_ns, told.first_byte_ns, told.first_content_ns) == (300, 400, None)
    assert (told.code, told.error) == (None, None)


@pytest.mark.parametrize(
    ("moments", "phase"),
    [
        ({}, Phase.CONNECTING),
        ({"asked_at_ns": 10}, Phase.CONNECTING),
        ({"asked_at_ns": 10, "is_sent": True}, Phase.WAITING),
        ({"asked_at_ns": 10, "is_sent": True, "head_at_ns": 20}, Phase.ANSWERING),
    ],
)
def test_the_phase_is_the_last_one_that_it_reached(moments: dict[str, int | bool], phase: Phase) -> None:
    assert closed(**moments).phase is phase


def test_an_exchange_that_never_asked_an_upstream_has_no_overhead_to_tell() -> None:
    told = closed()

    assert (told.overhead_ns, told.head_ns, told.first_byte_ns) == (None, None, None)


def test_an_error_is_told_with_its_code() -> None:
    told = closed(Refusal(504, "idle_timeout", "up sent nothing for 4 s", "timeout_error"))

    assert (told.outcome, told.code, told.error) == (Outcome.TIMEOUT, "idle_timeout", "up sent nothing for 4 s")


def test_the_first_content_is_the_streams() -> None:
    moments = Moments(START, awaits_stream=True, watch=StreamWatch(named("openai-chat")))
    assert moments.watch is not None
    moments.watch.feed(b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n', START + 5)
    moments.watch.feed(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', START + 7)
    told = report()

    told.close(Outcome.COMPLETE, None, moments, START + 9)

    assert told.first_content_ns == 7


def test_facts_add_up_and_what_is_not_said_again_is_kept() -> None:
    told = report()

    told.learn(Facts(model="m1", input_tokens=7))
    told.learn(Facts(finish_reason="stop", output_tokens=0))
    told.learn(Facts(output_tokens=5))
    told.learn(Facts())

    assert (told.model, told.finish_reason, told.input_tokens, told.output_tokens) == ("m1", "stop", 7, 5)


def test_each_has_gaps_of_its_own() -> None:
    report().gaps[0] += 1

    assert set(report().gaps) == {0}
