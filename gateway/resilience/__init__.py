"""Deadlines and what else keeps one failure from spreading. Knows nothing of hooks."""
