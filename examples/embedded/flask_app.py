"""A Flask application with hooks: `python flask_app.py`, or `flask --app flask_app run`."""

import os

from flask import Flask, request

from gateway.sync.flask import Hooks

app = Flask(__name__)
AIRPORTS = [{"code": "KEF", "name": "Keflavik"}, {"code": "LIS", "name": "Lisbon"}]


@app.get("/search")
@Hooks.query("search", tenant=lambda: request.headers.get("x-tenant"))
def search():
    """The query API: airports whose name begins with `q`."""
    begins = request.args.get("q", "")
    return {"rows": [airport for airport in AIRPORTS if airport["name"].startswith(begins)]}


hooks = Hooks(app, control=True)  # settings: app.config["GATEWAY"], or else the environment

if __name__ == "__main__":
    app.extensions["gateway"].open()  # now, rather than with the first query: so the control API is there at once
    app.run(port=int(os.environ.get("PORT", "8000")))
