"""The relay: any OpenAI client streams through it, byte for byte, and every stream is recorded."""

from tailrace.gateway.gateway import Gateway
from tailrace.gateway.local import LocalUpstream
from tailrace.gateway.settings import (
    GatewaySettings,
    LocalUpstreamSettings,
    OpenAIUpstreamSettings,
    UpstreamSettings,
)
from tailrace.gateway.upstream import HttpUpstream, Upstream

__all__ = [
    "Gateway",
    "GatewaySettings",
    "HttpUpstream",
    "LocalUpstream",
    "LocalUpstreamSettings",
    "OpenAIUpstreamSettings",
    "Upstream",
    "UpstreamSettings",
]
