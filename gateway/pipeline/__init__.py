"""The data path: three phases, chain, selection, guard, call, provenance."""
