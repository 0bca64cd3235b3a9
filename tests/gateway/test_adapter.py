"""The seam for upstreams that speak another API: whatever has it may stand there."""

from __future__ import annotations

from tailrace.gateway.adapter import Adapter, Whole
from tailrace.gateway.straico import StraicoAdapter


def test_straicos_fits() -> None:
    adapter: Adapter = StraicoAdapter()

    assert adapter.models_path == "/v2/models"


def test_an_answer_is_a_value() -> None:
    assert Whole(200, (), b"{}") == Whole(200, (), b"{}")
    assert len({Whole(200, (), b"{}"), Whole(200, (), b"{}"), Whole(201, (), b"{}")}) == 2
