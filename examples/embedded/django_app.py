"""A Django project in one file, with hooks: `python django_app.py`.

The same middleware serves `application` (WSGI) and `asgi_application` (`uvicorn django_app:asgi_application`).
"""

import os
import sys
from wsgiref.simple_server import make_server

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

AIRPORTS = [{"code": "KEF", "name": "Keflavik"}, {"code": "LIS", "name": "Lisbon"}]

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "gateway.sync.django.HooksMiddleware"],
    GATEWAY={"queries": {"/search": "search"}, "control": True},  # without "settings": the environment says
)


def search(request: HttpRequest) -> JsonResponse:
    """The query API: airports whose name begins with `q`."""
    begins = request.GET.get("q", "")
    return JsonResponse({"rows": [airport for airport in AIRPORTS if airport["name"].startswith(begins)]})


urlpatterns = [path("search", search)]
application = get_wsgi_application()
asgi_application = get_asgi_application()

if __name__ == "__main__":
    from gateway.sync.django import gateway

    gateway().open()  # now, rather than with the first query: so the control API is there at once
    with make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), application) as server:
        print(f"Running on http://127.0.0.1:{server.server_port}", file=sys.stderr)
        server.serve_forever()
