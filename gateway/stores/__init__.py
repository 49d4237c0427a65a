"""The extension point for what must last: the protocol, memory and SQLite."""
