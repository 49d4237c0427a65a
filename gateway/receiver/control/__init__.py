"""Clients of the control API. `SyncControlClient` needs the standard library only, `ControlClient` aiohttp.

The modules named after groups of operations are generated from the API's OpenAPI document:
`python tests/house/render_client.py`.
"""
