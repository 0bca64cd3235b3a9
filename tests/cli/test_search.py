"""`tailrace trace search`, on a library as a gateway leaves it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from tailrace.cli import search as module
from tailrace.llm.codec import dumps
from tailrace.tape import Kind, Library
from traces.recorded import begin

Make = Callable[..., str]
Run = Callable[..., Any]

DONE = b"data: [DONE]\n\n"


def piece(text: str) -> bytes:
    return b"data: " + dumps({"model": "m", "choices": [{"delta": {"content": text}}]}) + b"\n\n"


def question(text: str) -> bytes:
    return dumps({"messages": [{"role": "user", "content": text}]})


@pytest.fixture
def rivers(make: Make) -> tuple[str, str, str]:
    """Three tapes: about momentum, about rivers, and one in a piece."""
    return (
        make(
            (1, piece("It is mass ")),
            (2, piece("times velocity.")),
            (3, DONE),
            request_body=question("What is momentum?"),
        ),
        make((1, piece("A river flows.")), (2, DONE), request_body=question("What is a river?"), tags={"team": "red"}),
        make(
            (1, dumps({"choices": [{"message": {"content": "The momentum of a river"}}]})),
            request_body=question("Go on"),
            kind=Kind.NORMAL,
        ),
    )


@pytest.fixture
def ids(run: Run) -> Callable[..., list[str]]:
    """The ids that a search finds, and that its command has succeeded."""

    def found(*arguments: str) -> list[str]:
        ran = run("trace", "search", "--json", *arguments)
        assert ran.code == 0
        return [json.loads(line)["id"] for line in ran.lines]

    return found


def test_tapes_are_found_by_the_words_of_request_and_answer(
    rivers: tuple[str, str, str], ids: Callable[..., list[str]]
) -> None:
    momentum, river, both = rivers

    assert ids("momentum") == [both, momentum]
    assert ids("river") == [both, river]
    assert ids("momentum", "river") == ids("momentum river") == [both]
    assert ids("mass times velocity") == [momentum]
    assert ids('"times mass"') == []
    assert ids('"mass times"') == [momentum]
    assert ids("veloc*") == [momentum]
    assert ids("veloc") == []
    assert ids("river", "--filter", "type:stream tag:team=red") == [river]
    assert ids("-n", "1", "momentum") == [both]
    assert ids("--", "what", "-river") == [momentum]


def test_each_is_shown_with_the_pieces_where_the_words_are(rivers: tuple[str, str, str], run: Run) -> None:
    ran = run("trace", "search", "momentum")

    head, both, of_both, momentum, of_momentum = ran.lines
    assert head.split()[:3] == ["ID", "TIME", "TYPE"]
    assert both.startswith(rivers[2])
    assert of_both == "  answer   The momentum of a river"
    assert momentum.startswith(rivers[0])
    assert of_momentum == "  request  What is momentum?"


def test_on_a_terminal_the_words_are_bold() -> None:
    snippet = module.Snippet("answer", "the river of \x1b[2Jmomentum", ((4, 9), (17, 25)))

    assert module._styled(snippet) == (
        f"the {click.style('river', bold=True)} of \\x1b[2J{click.style('momentum', bold=True)}"
    )


def test_json_is_the_row_of_a_list_with_snippets(rivers: tuple[str, str, str], run: Run) -> None:
    (line,) = run("trace", "search", "--json", "velocity").lines
    (row,) = run("trace", "list", "--json", "--filter", f"id:{rivers[0]}").lines

    found = json.loads(line)
    assert found.pop("snippets") == [{"where": "answer", "text": "It is mass times velocity.", "marks": [[17, 25]]}]
    assert found == json.loads(row)


def test_what_is_not_there_is_said(rivers: tuple[str, str, str], run: Run) -> None:
    ran = run("trace", "search", "ocean")

    assert (ran.code, ran.err) == (0, "no tape has these words\n")
    assert len(ran.lines) == 1


def test_words_that_are_none_are_pointed_at(config: Path, run: Run) -> None:
    ran = run("trace", "search", "river", "!!!")

    assert ran.code == 2
    assert ran.err == (
        "error: there is no word in !!! to search for\n  river !!!\n        ^^^\n\nhint: words have letters or digits\n"
    )


def test_a_filter_that_cannot_be_read_is_pointed_at(config: Path, run: Run) -> None:
    ran = run("trace", "search", "river", "--filter", "type:a")

    assert ran.code == 2
    assert "\n  type:a\n       ^\n" in ran.err


def test_a_tape_that_is_still_recorded_is_not_found_yet(library: Library, ids: Callable[..., list[str]]) -> None:
    recording = begin(library, (1, piece("river")))
    library._recorder.flush()  # type: ignore[union-attr]

    assert ids("river") == []
    del recording


def test_it_is_said_when_there_is_much_to_be_made_known_first(
    make: Make, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SAY_FROM", 2)
    made = [make((1, piece("river")), (2, DONE)) for _ in range(2)]

    ran = run("trace", "search", "river")

    assert ran.err == "making 2 tapes known to the search; Ctrl-C searches without the rest\n"
    assert len([line for line in ran.lines if line.startswith(tuple(made))]) == 2
    assert run("trace", "search", "river").err == ""


def test_an_impatient_person_searches_in_what_is_known(make: Make, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SAY_FROM", 1)
    monkeypatch.setattr("tailrace.tape.library._INDEX_BATCH", 1)
    made = [make((1, piece("river")), (2, DONE)) for _ in range(3)]

    def interrupted(library: Library, *, progress: Callable[[int], None]) -> int:
        def interrupting(count: int) -> None:
            progress(count)
            if count == 2:
                raise KeyboardInterrupt

        return index_all(library, progress=interrupting)

    index_all = Library.index_all
    monkeypatch.setattr(Library, "index_all", interrupted)

    ran = run("trace", "search", "--json", "river")

    assert ran.code == 0
    assert [json.loads(line)["id"] for line in ran.lines] == [made[2], made[1]], "the newest are known first"


def test_an_impatient_person_may_also_just_leave(make: Make, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    make((1, piece("river")), (2, DONE))

    def interrupted(library: Library, **_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Library, "index_all", interrupted)

    assert run("trace", "search", "river").code == 130
