"""Notifications, after the fact: publishing events, and delivering them to whoever subscribed.

What may live here: when to try again (`schedule`), one attempt (`delivery`), the worker that makes them
(`worker`), and what publishes. Never on the path of a query. A sibling of `pipeline`: neither knows the other.
"""
