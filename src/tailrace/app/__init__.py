"""The one HTTP application and its configuration."""
