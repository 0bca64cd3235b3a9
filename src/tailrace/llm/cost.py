"""What an answer cost, by a table of prices. What an upstream says itself about its price stays in its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tailrace.llm.dialect import Facts

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a model's tokens in US dollars. Without one for cached input, that costs as much as other input."""

    input_per_million: float
    output_per_million: float
    cached_input_per_million: float | None = None


Prices = Sequence[tuple[str, Price]]
"""Patterns of models' names, as of file names (`gpt-5*`), each with its price. The first that matches counts."""


def price_of(model: str | None, prices: Prices) -> Price | None:
    """The price of a model, None for one that is not in the table."""
    return next((price for pattern, price in prices if model is not None and fnmatchcase(model, pattern)), None)


def cost_usd(price: Price, facts: Facts) -> float | None:
    """The cost of an answer in US dollars; None when its tokens are not known, so that none is taken for free."""
    if facts.input_tokens is None or facts.output_tokens is None:
        return None
    cached = facts.cached_input_tokens or 0
    plain = max(facts.input_tokens - cached, 0) if facts.is_cache_counted else facts.input_tokens
    cached_price = price.cached_input_per_million
    dollars = (
        plain * price.input_per_million
        + cached * (price.input_per_million if cached_price is None else cached_price)
        + facts.output_tokens * price.output_per_million
    )
    return dollars / _MILLION
