"""The relay: any OpenAI client streams through it, byte for byte, and every stream is recorded.

Import from its modules: the settings alone do not load the HTTP client.
"""
