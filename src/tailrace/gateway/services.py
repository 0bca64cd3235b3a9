"""What all exchanges of a gateway share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass

from tailrace.gateway.breaker import Breaker
from tailrace.gateway.detection import StreamingMemory
from tailrace.gateway.report import Observer
from tailrace.gateway.settings import GatewaySettings
from tailrace.gateway.wheel import Wheel
from tailrace.tape import Library


@dataclass(frozen=True, slots=True)
class Services:
    """See the module. `breakers` has one for each upstream, by its name."""

    settings: GatewaySettings
    library: Library
    wheel: Wheel
    memory: StreamingMemory
    breakers: Mapping[str, Breaker]
    observers: Sequence[Observer]
    spawn: Callable[[Coroutine[None, None, None], str], asyncio.Task[None]]
    """Runs something beside, as a task with a name that the gateway owns. It must not raise."""
