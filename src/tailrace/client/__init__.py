"""Talking HTTP to the far side."""
