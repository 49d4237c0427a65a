"""A gateway between a query and its answer. The public names, nothing else."""

__version__ = "0.1.0"
