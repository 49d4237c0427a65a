"""The demonstration: real queries on real data, an integration server in its own process, and what the gateway does.

One file per part: `data` and `queries` are the query API's insides, `query_api` its HTTP side,
`transformations` and `integration_server` the other side, `show` tells the story, `run` starts and stops everything.
"""
