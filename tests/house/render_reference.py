"""Writes the generated parts of `docs/reference`, each between two marks: `python tests/house/render_reference.py`.

With `--check` it writes nothing and exits with 1 if anything would change.
"""

import ast
import inspect
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
MEASURED = ROOT / "benchmarks" / "results" / "fault-matrix.json"  # by tests/proof/fault_matrix.py
BEGIN = "<!-- generated: begin -->\n"
END = "<!-- generated: end -->\n"


def table(columns, rows):
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def configuration():
    """Every setting: key, variable, type, default, meaning; one table per section of the file."""
    from gateway.config import describe

    sections: dict[str, list] = {}
    for line in describe():
        sections.setdefault(line.key.rpartition(".")[0], []).append(line)
    pages = []
    for section, lines in sections.items():
        heading = f"[[{section[:-2]}]]" if section.endswith("[]") else f"[{section}]"
        title = f"### `{heading}`" if section else "### At the top of the file"
        rows = [
            (
                f"`{line.key.rpartition('.')[2]}`",
                "" if section.endswith("[]") else f"`{line.env}`",
                line.type.replace('"', "`") if "|" in line.type else line.type,
                line.default if line.default.startswith("(") else f"`{line.default}`",
                line.meaning,
            )
            for line in lines
        ]
        pages.append(f"{title}\n\n" + table(("key", "variable", "type", "default", "meaning"), rows))
    return "\n".join(pages)


def errors():
    """Every error class, under its parent, with the sentence its user reads."""
    from gateway import errors as module

    classes = [value for name, value in vars(module).items() if name in module.__all__ and inspect.isclass(value)]
    rows = [
        (f"`{c.__name__}`", f"`{c.__bases__[0].__name__}`", inspect.getdoc(c).splitlines()[0])
        for c in classes
        if issubclass(c, Exception)
    ]
    return table(("error", "is a", "meaning"), rows)


def metrics():
    """Every metric of a gateway: name, kind, labels, meaning."""
    from gateway.observe.metrics import GatewayMetrics

    rows = []
    for collector in GatewayMetrics()._registry._collector_to_names:
        for metric in collector.collect():
            name = metric.name + ("_total" if metric.type == "counter" else "")
            names = vars(collector).get("_labelnames") or vars(metric).get("_labelnames", ())
            labels = ", ".join(f"`{label}`" for label in names)
            rows.append((f"`{name}`", metric.type, labels, metric.documentation))
    return table(("metric", "kind", "labels", "meaning"), sorted(rows))


def log_events():
    """Every event that the code logs: its level, its logger's package and its fields."""
    found: dict[str, tuple] = {}
    for path in sorted([*(ROOT / "gateway").rglob("*.py"), *(ROOT / "extensions").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        value=ast.Name(id="log" | "_log"),
                        attr="debug" | "info" | "warning" | "error" | "exception" as level,
                    ),
                    args=[ast.Constant(value=str(event))],
                    keywords=keywords,
                ):
                    fields = [keyword.arg for keyword in keywords if keyword.arg not in {None, "exc_info"}]
                    seen = found.setdefault(event, ("error" if level == "exception" else level, {}))
                    seen[1].update(dict.fromkeys(fields))
    rows = [
        (f"`{event}`", level, ", ".join(f"`{field}`" for field in fields))
        for event, (level, fields) in sorted(found.items())
    ]
    return table(("event", "level", "fields"), rows)


def faults():
    """Every fault of the catalogue: what the server does, and what a gateway must make of it."""
    from gateway.testing.fault_catalogue import FAULTS

    def words(expected):
        return f"failed: `{expected.reason}`" if expected.reason else f"{expected.status}"

    measured = json.loads(MEASURED.read_text())

    def late(fault):
        told = measured["faults"].get(fault.name)
        return (f"{told['late_alone_ms']} ms", f"{told['late_many_ms']} ms") if told else ("not measured",) * 2

    rows = []
    for fault in FAULTS:
        becomes = words(fault.expected) + (" (first: applied)" if fault.first else "")
        rows.append((f"`{fault.name}`", fault.does, becomes, *late(fault)))
    heads = ("fault", "the server …", "outcome", "late, alone", f"late, {measured['many']} at once")
    grown = f"Over the whole matrix the gateway's resident memory grew by {measured['grown_mib']} MiB."
    return f"{table(heads, rows)}\n\n{grown}"


def event_types():
    """Every event that the gateway publishes itself: when, and what its data has."""
    from gateway.relay.catalogue import CATALOGUE

    def kind(schema):
        kinds = schema.get("type", "one of " + ", ".join(f"`{each}`" for each in schema.get("enum", ())))
        return " or ".join(kinds) if isinstance(kinds, list) else kinds

    parts = []
    for name in sorted(CATALOGUE):
        each = CATALOGUE[name]
        members = each.schema["properties"]
        rows = [
            (f"`{member}`", kind(told), ", ".join(f"`{n}`" for n in told.get("properties", ())))
            for member, told in members.items()
        ]
        example = json.dumps(each.example, indent=2, ensure_ascii=False)
        parts.append(
            f"### `{name}`\n\n{each.description}\n\n"
            + table(("member", "kind", "has"), rows)
            + f"\n```json\n{example}\n```\n"
        )
    return "\n".join(parts)


PAGES = {
    "event-types.md": event_types,
    "faults.md": faults,
    "configuration.md": configuration,
    "errors.md": errors,
    "metrics.md": metrics,
    "logging.md": log_events,
}


def rendered(name):
    """The page as it should be."""
    text = (REFERENCE / name).read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{PAGES[name]()}\n{END}{after}"


def main(arguments):
    sys.path.insert(0, str(ROOT))
    wrong = [name for name in PAGES if (REFERENCE / name).read_text() != rendered(name)]
    if "--check" in arguments:
        for name in wrong:
            sys.stdout.write(f"docs/reference/{name} is not what the code says; run: .venv/bin/python {sys.argv[0]}\n")
        return 1 if wrong else 0
    for name in wrong:
        (REFERENCE / name).write_text(rendered(name))
    sys.stdout.write(f"written: {', '.join(wrong) or 'nothing, all is as it should be'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
