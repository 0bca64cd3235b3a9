"""What is derived from a tape has no secret that could be read there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.llm import summarise
from tailrace.llm.texts import index_texts
from tailrace.tape import Filter, Library, Outcome, Redactor
from tailrace.traces.row import Rows
from tape.given import bytes_on_disk, eventually, head, recorded, write

SECRET = "topsecretvalue"
SAID = rb'{"messages":[{"role":"user","content":"use {\"api_key\":\"topsecretvalue\"} please"}]}'
PROMPT = 'use {"api_key":"**************"} please'


def found(library: Library, word: str) -> int:
    return len(library.list(Filter.where(text=word)).tapes)


def test_json_in_a_string_is_masked_where_it_is_read(tmp_path: Path) -> None:
    answer = SAID.replace(b"messages", b"choices").replace(b'{"role":"user",', b'{"delta":{').replace(b"}]}", b"}}]}")
    with Library(f"sqlite:///{tmp_path}/tapes.db", summarise=summarise, index=index_texts) as library:
        tape_id = recorded(library, b"data: " + answer + b"\n\n", request_body=SAID)
        eventually(lambda: found(library, "please"))

        assert library.open(tape_id).prompt == PROMPT
        assert found(library, SECRET) == 0
        assert found(library, "api_key") == 1


def test_it_is_masked_too_while_the_tape_is_recorded(tmp_path: Path) -> None:
    with Library(f"sqlite:///{tmp_path}/tapes.db", summarise=summarise) as library:
        recording = library.create(head(request_body=SAID))
        write(recording, b"x")
        tape = eventually(lambda: library.list().tapes)[0]

        assert Rows(library).row(tape)["prompt"] == PROMPT
        recording.close(Outcome.COMPLETE)


@pytest.mark.parametrize("redactor", [Redactor.off(), Redactor(fields=["pin"])])
def test_it_is_the_librarys_redactor_that_says_what_is_masked(tmp_path: Path, redactor: Redactor) -> None:
    url = f"sqlite:///{tmp_path}/tapes.db"
    with Library(url, summarise=summarise, index=index_texts, redactor=redactor) as library:
        tape_id = recorded(library, request_body=SAID)
        eventually(lambda: found(library, SECRET))

        assert library.open(tape_id).prompt == PROMPT.replace("*" * 14, SECRET)
    assert SECRET.encode() in bytes_on_disk(tmp_path)
