"""Benchmarks: what the chain costs, measured against a floor and against a general client.

`python -m benchmarks [no-hook|one-hook|lookup|hung-hook|all] [--quick]` writes one Markdown table each to
`benchmarks/results`. Contestants take turns in one run, so that a machine that changes its speed changes
it for all of them; medians and their ratios are what to read.
"""
