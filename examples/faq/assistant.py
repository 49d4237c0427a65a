"""A FAQ assistant: a query API whose questions carry capabilities.

    python assistant.py --port 9000             then, in front of it: gateway serve --config gateway.toml

`POST /questions` with `{"text": "…"}` finds the entry that has most words in common with the question, and answers
with it. A capability says which piece of logic could answer better; the gateway reads it from the request, where the
page that asks has put it: `x-capability`.
"""

from __future__ import annotations

import argparse
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ENTRIES = [
    {
        "question": "How do I apply for financial aid?",
        "answer": "Fill in the form and send it to the office before the end of the month.",
        "capability": "financial-aid",
    },
    {
        "question": "When is the library open?",
        "answer": "On working days.",
        "capability": "opening-hours",
    },
    {
        "question": "How do I reset my password?",
        "answer": "Use the link below the log-in form.",
        "capability": None,
    },
]


def words(text: str) -> set[str]:
    """The words of a text that say something."""
    return {word for word in re.findall(r"[a-z]+", text.lower()) if len(word) > 3}


def best(text: str) -> dict[str, object] | None:
    """The entry that fits a question best, if any does."""
    found = max(ENTRIES, key=lambda entry: len(words(text) & words(str(entry["question"]))))
    return found if words(text) & words(str(found["question"])) else None


class Assistant(BaseHTTPRequestHandler):
    """Answers questions."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """One question."""
        try:
            asked = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
            entry = best(asked["text"])
        except (ValueError, TypeError, KeyError):
            self.reply(400, {"detail": 'a question looks like {"text": "When is the library open?"}'})
            return
        if entry is None:
            self.reply(200, {"question": asked["text"], "answer": None, "sources": []})
        else:
            self.reply(200, {"question": asked["text"], "answer": entry["answer"], "sources": ["faq"]})

    def reply(self, status: int, document: object) -> None:
        """Send a JSON document."""
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A FAQ assistant.")
    parser.add_argument("--port", type=int, default=9000)
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Assistant)
    print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
