"""What all exchanges of a gateway share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
