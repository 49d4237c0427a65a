"""The gateway for programs without an event loop: Flask, Django and other WSGI applications, scripts, threads.

```python
from gateway.sync import open_gateway

with open_gateway(settings) as gateway:
    answer = gateway.run(query, result)
```

The gateway itself lives on an event loop in a thread of its own; any number of threads may use it at once.
"""

from gateway.sync.gateway import SyncGateway, open_gateway
from gateway.sync.pipeline import SyncPipeline
from gateway.sync.request import Request
from gateway.sync.wsgi import HooksWsgi

__all__ = ["HooksWsgi", "Request", "SyncGateway", "SyncPipeline", "open_gateway"]
