"""Counterparties for development and tests: stand-ins for services that cannot be asked, and that can misbehave.

Rule: a stand-in shares no code with the part that is tested against it. Import from its modules.
"""
