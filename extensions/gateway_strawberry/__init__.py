"""Hooks on the fields of a Strawberry schema: what a resolver gives goes through them, and comes back as typed values.

```python
from gateway_strawberry import Hooked, provenance


@strawberry.type
class Query:
    @strawberry.field(extensions=[Hooked("search")])
    def airports(self, country: str) -> list[Airport]: ...


schema = strawberry.Schema(query=Query, extensions=[provenance(gateway)])
```

Source of the interface: https://strawberry.rocks/docs/guides/field-extensions
"""

from gateway_strawberry.field import Hooked
from gateway_strawberry.operation import HooksExtension, provenance

__all__ = ["Hooked", "HooksExtension", "provenance"]
