"""`gateway serve --workers N`: several processes that answer queries, and one that supervises them.

The supervisor owns the registry, the control API, the notifications and the listening sockets; the workers follow its
registry and run the data path. What may live here: the link between the two and its messages, the supervisor, the
worker, and what makes them look like one gateway from outside.
"""
