"""What all exchanges of a gateway share is handed to them as one thing that nobody changes."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Coroutine
from pathlib import Path

import pytest

from tailrace.gateway.detection import StreamingMemory
from tailrace.gateway.services import Services
from tailrace.gateway.settings import GatewaySettings
from tailrace.gateway.wheel import Wheel
from tailrace.tape import Library


async def test_no_exchange_can_change_what_the_others_have(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as group:

        def spawn(work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
            return group.create_task(work, name=name)

        library = Library(f"sqlite:///{tmp_path}/tapes.db")
        memory = StreamingMemory(tmp_path / "streaming.json", 60)
        wheel = Wheel(time.perf_counter_ns())
        services = Services(GatewaySettings(), library, wheel, memory, {}, (), spawn)
        try:
            for field in dataclasses.fields(services):
                with pytest.raises(dataclasses.FrozenInstanceError):
                    setattr(services, field.name, None)
        finally:
            library.close()
