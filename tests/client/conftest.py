"""What the tests of connections share: both event loops, and a far side that is a bare socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from client.bare import FarSide


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both loops: what is done to a connection goes deep into either."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def far_side() -> Iterator[FarSide]:
    far_side = FarSide()
    yield far_side
    far_side.close()
