"""The cost of an answer by a table of prices."""

from __future__ import annotations

import pytest

from tailrace.llm import Facts, Price, cost_usd
from tailrace.llm.anthropic_messages import MESSAGES
from tailrace.llm.cost import price_of
from tailrace.llm.openai_chat import CHAT

PRICE = Price(input_per_million=2.0, output_per_million=10.0, cached_input_per_million=0.5)


def test_input_and_output_have_their_own_prices() -> None:
    assert cost_usd(PRICE, Facts(input_tokens=1_000_000, output_tokens=100_000)) == pytest.approx(3.0)
    assert cost_usd(PRICE, Facts(input_tokens=0, output_tokens=0)) == 0


def test_cached_input_has_its_own_price_whether_the_api_counts_it_with_the_rest_or_beside_it() -> None:
    openai = CHAT.facts(
        {"usage": {"prompt_tokens": 300, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 200}}}
    )
    anthropic = MESSAGES.facts({"usage": {"input_tokens": 100, "output_tokens": 0, "cache_read_input_tokens": 200}})
    assert cost_usd(PRICE, openai) == cost_usd(PRICE, anthropic) == pytest.approx((100 * 2.0 + 200 * 0.5) / 1e6)


def test_without_a_price_for_it_cached_input_costs_as_much_as_other_input() -> None:
    facts = Facts(input_tokens=300, output_tokens=0, cached_input_tokens=200)
    assert cost_usd(Price(2.0, 10.0), facts) == pytest.approx(300 * 2.0 / 1e6)


@pytest.mark.parametrize("facts", [Facts(), Facts(input_tokens=1), Facts(output_tokens=1)])
def test_what_was_not_counted_is_not_taken_for_free(facts: Facts) -> None:
    assert cost_usd(PRICE, facts) is None


@pytest.mark.parametrize(
    ("model", "found"),
    [("gpt-5-mini", 1.0), ("gpt-5", 2.0), ("GPT-5", 3.0), ("other", 3.0), ("", 3.0), (None, None)],
)
def test_the_first_pattern_that_matches_the_models_name_counts(model: str | None, found: float | None) -> None:
    prices = [("gpt-5-*", Price(1.0, 0)), ("gpt-5*", Price(2.0, 0)), ("*", Price(3.0, 0))]
    price = price_of(model, prices)
    assert (None if price is None else price.input_per_million) == found
    assert price_of("other", prices[:2]) is None
