"""What the stand-in says: the same for the same, counted and paid for by the word."""

from __future__ import annotations

import pytest

from tailrace.sim.straico_shapes import (
    ECHO,
    ENVELOPE,
    ERROR,
    FAULTS,
    MODELS,
    REASONER,
    V0,
    V1,
    V2,
    completion,
    enveloped,
    looked_up,
    nested_error,
    say,
    warned,
)


def test_an_answer_quotes_what_was_asked_and_is_always_the_same() -> None:
    said = say(ECHO, "Why do rivers bend?", 4, None)
    assert " ".join(said.words).startswith('You wrote: "Why do rivers bend?" That makes 4 words. I am sim/echo, ')
    assert said == say(ECHO, "Why do rivers bend?", 4, None)
    assert (said.finish_reason, said.reasoning) == ("stop", [])


def test_a_long_text_is_quoted_in_part() -> None:
    assert '99 ..."' not in (text := " ".join(say(ECHO, " ".join(map(str, range(100))), 100, None).words))
    assert '59 ..." That makes 100 words.' in text


def test_the_limit_counts_words() -> None:
    said = say(ECHO, "a", 1, 3)
    assert (said.words, said.finish_reason) == (["You", "wrote:", '"a"'], "length")
    assert say(ECHO, "a", 1, 0).finish_reason == "stop"


def test_words_are_paid_in_coins_for_a_hundred() -> None:
    said = say(REASONER, "a b", 20, 30)
    assert said.count() == {"input": 20, "output": 41, "total": 61}
    assert said.price() == {"input": 0.5, "output": 1.025, "total": 1.525}
    assert said.usage() == {"prompt_tokens": 20, "completion_tokens": 41, "total_tokens": 61}


def test_the_reasoner_thinks_first() -> None:
    (choice,) = completion(say(REASONER, "a b", 2, None), "id")["choices"]
    assert choice["message"]["reasoning"] == "There are 2 words to think about. I shall quote them."


@pytest.mark.parametrize(
    ("path", "model", "status", "keys"),
    [
        (V2, ECHO, 200, {"id", "object", "created", "model", "choices", "usage", "price", "words"}),
        (V2, ENVELOPE, 200, {"success", "data"}),
        (V0, ENVELOPE, 201, {"success", "data"}),
        (V1, ECHO, 201, {"success", "data"}),
    ],
)
def test_each_version_has_its_envelope(path: str, model: str, status: int, keys: set[str]) -> None:
    got, body = enveloped(path, [say(model, "a", 1, None)], "id")
    assert (got, set(body)) == (status, keys)


def test_v0_has_one_completion_and_v1_one_for_each_model_with_sums() -> None:
    said = [say(ECHO, "a", 1, 2), say(REASONER, "a", 1, 2)]
    assert set(enveloped(V0, said, "id")[1]["data"]) == {"completion", "price", "words"}
    data = enveloped(V1, said, "id")[1]["data"]
    assert list(data["completions"]) == [ECHO, REASONER]
    assert data["overall_words"] == {"input": 2, "output": 2 + 13, "total": 2 + 15}
    assert data["overall_price"]["total"] == round(0.03 + 14 * 0.025, 4)


def test_a_warning_is_an_answer_that_costs_nothing() -> None:
    said = warned(ECHO)
    assert " ".join(said.words).startswith("**Warning:** It seems we couldn't process your request")
    assert (said.price()["total"], said.count()["total"]) == (0, 0)


def test_a_nested_error_has_one_for_each_model() -> None:
    error = nested_error(["a", "b"])
    assert error["success"] is False
    assert [one["completion"]["error"] for one in error["error"]["completions"].values()] == [
        "The model did not answer"
    ] * 2
    assert set(error["error"]) == {"overall_price", "overall_words", "completions"}


def test_every_fault_is_a_model() -> None:
    assert [name for name in MODELS if name.startswith(ERROR)] == [f"{ERROR}{fault}" for fault in FAULTS]


def test_models_are_listed_in_the_shape_of_each_version() -> None:
    v0, v1, v2 = (looked_up(f"/{version}/models") for version in ("v0", "v1", "v2"))
    assert isinstance(v0, list)
    assert isinstance(v1, dict)
    assert isinstance(v2, list)
    assert v0 == v1["chat"]
    assert v0[0] == {
        "name": "Echo", "model": "sim/echo", "word_limit": 24000, "max_output": 4096,
        "pricing": {"coins": 1, "words": 100},
    }  # fmt: skip
    assert [model["model"] for model in v1["image"][0]] == ["sim/painter"]
    assert (v2[0]["id"], v2[0]["object"], v2[0]["model_type"]) == ("sim/echo", "model", "chat")
    assert {model["model_type"] for model in v2} == {"chat", "image"}


def test_one_model_is_found_by_its_name_with_the_slash() -> None:
    found = looked_up("/v2/models/sim/echo")
    assert isinstance(found, dict)
    assert found["id"] == "sim/echo"
    assert looked_up("/v2/models/sim/none") is None
    assert looked_up("/v3/models") is None
