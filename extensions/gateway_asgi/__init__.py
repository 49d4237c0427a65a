"""Hooks on any ASGI application: FastAPI, Starlette, Litestar, Django, or your own.

```python
from gateway_asgi import HooksMiddleware

app = HooksMiddleware(app, {"/search": "search"})
```

Source of the interface: https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from gateway_asgi.middleware import HooksMiddleware
from gateway_asgi.request import Request

__all__ = ["HooksMiddleware", "Request"]
