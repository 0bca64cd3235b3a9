"""What changed: JSON values by path, lists aligned, texts by words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.traces import changes
from tailrace.traces.changes import Change, ChangeKind, PieceKind, TextDiff, text_diff, value_changes

SYSTEM = {"role": "system", "content": "Be brief."}
HELLO = {"role": "user", "content": "Hello"}
HI = {"role": "assistant", "content": "Hi"}
BYE = {"role": "user", "content": "Bye"}

TEXTS = st.text(st.sampled_from("ab \n.é"), max_size=30) | st.text(max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text("ab/~", max_size=2),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["role", "content", "name"]), inner),
    max_leaves=12,
)


def said(a: object, b: object) -> list[tuple[str, str | None, str | None]]:
    return [(change.kind.value, change.path_a, change.path_b) for change in value_changes(a, b)]


def sides(found: TextDiff) -> tuple[str, str]:
    """Both texts, as a reader of the difference gets them back."""
    a = "".join(piece.text for piece in found.pieces if piece.kind is not PieceKind.ADDED)
    b = "".join(piece.text for piece in found.pieces if piece.kind is not PieceKind.REMOVED)
    return a, b


def written(a: str, b: str) -> str:
    marks = {PieceKind.SAME: "{}", PieceKind.REMOVED: "[-{}-]", PieceKind.ADDED: "{{+{}+}}"}
    return "".join(marks[piece.kind].format(piece.text) for piece in text_diff(a, b).pieces)


def at(value: Any, path: str) -> Any:
    """What a JSON pointer points at."""
    for part in path.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value


# Values


def test_an_inserted_message_is_one_insertion_and_those_after_it_are_the_same() -> None:
    assert value_changes({"messages": [SYSTEM, HELLO, HI, BYE]}, {"messages": [SYSTEM, HI, HELLO, HI, BYE]}) == [
        Change(ChangeKind.ADDED, None, "/messages/1", new=HI)
    ]


def test_a_removed_message_is_one_removal() -> None:
    assert value_changes([SYSTEM, HELLO, HI, BYE], [SYSTEM, HI, BYE]) == [
        Change(ChangeKind.REMOVED, "/1", None, old=HELLO)
    ]


def test_a_message_that_was_edited_beside_one_that_was_inserted_is_still_that_message() -> None:
    edited = {**BYE, "content": "Goodbye"}
    assert said([SYSTEM, HELLO, BYE], [SYSTEM, HELLO, HI, edited]) == [
        ("added", None, "/2"),
        ("changed", "/2/content", "/3/content"),
    ]


def test_messages_are_the_same_by_role_and_content_whatever_else_is_in_them() -> None:
    assert said([{**HELLO, "name": "ann"}, BYE], [BYE, {**HELLO, "name": "bob"}, BYE]) == [
        ("added", None, "/0"),
        ("changed", "/0/name", "/1/name"),
    ]


def test_tools_are_aligned_by_name() -> None:
    def tool(name: str, description: str) -> object:
        return {"type": "function", "function": {"name": name, "description": description}}

    assert said([tool("a", "x"), tool("b", "x")], [tool("new", "x"), tool("b", "y")]) == [
        ("removed", "/0", None),
        ("added", None, "/0"),
        ("changed", "/1/function/description", "/1/function/description"),
    ]


def test_fields_are_compared_by_path_and_their_order_is_no_change() -> None:
    a = {"model": "m", "options": {"a/b": 1, "c~d": None}, "stop": ["x"]}
    b = {"stop": ["x", "y"], "options": {"a/b": 2}, "model": "m", "seed": None}
    assert value_changes(a, b) == [
        Change(ChangeKind.CHANGED, "/options/a~1b", "/options/a~1b", 1, 2),
        Change(ChangeKind.REMOVED, "/options/c~0d", None, old=None),
        Change(ChangeKind.ADDED, None, "/stop/1", new="y"),
        Change(ChangeKind.ADDED, None, "/seed", new=None),
    ]


@pytest.mark.parametrize(
    ("a", "b", "is_same"),
    [(1, 1.0, True), (1, True, False), (0, False, False), (None, 0, False), ([], {}, False), ("1", 1, False)],
)
def test_values_are_the_same_as_json_has_it(a: object, b: object, is_same: bool) -> None:
    assert (value_changes(a, b) == []) is is_same
    assert (value_changes([{"x": a}], [{"x": b}]) == []) is is_same


def test_long_lists_are_compared_place_by_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MAX_ALIGNED_PAIRS", 3)
    assert value_changes([1, 2, 3, 4, 5], [1, 9, 3, 8, 5]) == [
        Change(ChangeKind.CHANGED, "/1", "/1", 2, 9),
        Change(ChangeKind.CHANGED, "/3", "/3", 4, 8),
    ]


def test_what_is_too_deep_has_changed_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MAX_DEPTH", 2)
    assert said({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}) == [("changed", "/a/b", "/a/b")]
    assert said({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 1}}}) == []


@given(VALUES)
def test_a_value_has_not_changed_from_itself(value: object) -> None:
    assert value_changes(value, value) == []


@given(VALUES, VALUES)
def test_every_path_leads_to_its_value(a: object, b: object) -> None:
    for change in value_changes(a, b):
        assert (change.path_a is None) == (change.kind is ChangeKind.ADDED)
        assert (change.path_b is None) == (change.kind is ChangeKind.REMOVED)
        assert change.path_a is None or at(a, change.path_a) == change.old
        assert change.path_b is None or at(b, change.path_b) == change.new


@given(VALUES, VALUES)
def test_what_changed_one_way_changed_the_other_way(a: object, b: object) -> None:
    assert bool(value_changes(a, b)) == bool(value_changes(b, a))


# Text


@pytest.mark.parametrize(
    ("a", "b", "diff"),
    [
        ("I like dogs.", "I like cats.", "I like[- dogs-]{+ cats+}."),
        ("I like dogs", "I like dogs and cats", "I like dogs{+ and cats+}"),
        ("one two three", "one three", "one[- two-] three"),
        ("", "new", "{+new+}"),
        ("same", "same", "same"),
        ("", "", ""),
    ],
)
def test_texts_are_compared_word_by_word(a: str, b: str, diff: str) -> None:
    assert written(a, b) == diff


@given(TEXTS, TEXTS)
def test_the_pieces_give_both_texts_back(a: str, b: str) -> None:
    found = text_diff(a, b)
    assert sides(found) == (a, b)
    assert all(piece.text for piece in found.pieces)
    assert all(one.kind is not other.kind for one, other in zip(found.pieces, found.pieces[1:], strict=False))


@pytest.mark.parametrize("bound", ["MAX_DIFFED_WORDS", "MAX_WORD_PAIRS"])
def test_texts_above_the_bound_are_compared_by_lines_and_then_as_a_whole(
    monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(changes, bound, 3)
    a, b = "1 a a a\nthe line\n2 a a a 3", "4 a a a\nthe line\n5 a a a 6"
    found = text_diff(a, b)
    assert (found.unit, sides(found)) == ("lines", (a, b))
    assert "\nthe line\n" in f"\n{found.pieces[2].text}"

    a, b = "1 a a a\n" + "x\n" * 4 + "2", "3 a a a\n" + "y\nx\n" * 4 + "4"
    found = text_diff(a, b)
    assert (found.unit, sides(found)) == ("text", (a, b))


def test_a_small_change_in_a_long_text_is_found_by_words() -> None:
    long = "word " * (2 * changes.MAX_DIFFED_WORDS)
    found = text_diff(f"{long}one {long}", f"{long}two {long}")
    assert found.unit == "words"
    assert [piece.text for piece in found.pieces[1:3]] == [" one", " two"]
