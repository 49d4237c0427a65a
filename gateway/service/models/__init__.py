"""The control API's documents: what is accepted and what is answered. The rules are the registry's."""
