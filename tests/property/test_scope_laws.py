"""Scopes against a slow reference that looks at single places: what is sent, and what of a reply is merged."""

from __future__ import annotations

import copy
import json

import jsonpatch
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from gateway.errors import ReplyUnusable
from gateway.model import Reason, Result
from gateway.pipeline.scope import NothingToSend, Scope
from gateway.wire import reply
from gateway.wire.columns import Columns
from gateway.wire.pointers import parse_all

# ------------------------------------------------------------ documents, every number as its text


class Num(str):
    """A number, to the letter."""

    __slots__ = ()


MISSING = object()
DEPTH = 100


def read(body):
    return json.loads(body, parse_int=Num, parse_float=Num)


def text(value, style):
    """JSON of `value`: compact, with spaces, or indented; with or without escapes."""
    comma, colon, escapes = style
    if isinstance(value, Num):
        return str(value)
    if isinstance(value, dict):
        members = (f"{json.dumps(k, ensure_ascii=escapes)}{colon}{text(v, style)}" for k, v in value.items())
        return "{" + comma.join(members) + "}"
    if isinstance(value, list):
        return "[" + comma.join(text(v, style) for v in value) + "]"
    return json.dumps(value, ensure_ascii=escapes)


STYLES = st.sampled_from([(",", ":", False), (", ", ": ", True), (",\n ", " : ", False)])
COMPACT = (",", ":", False)
NUMBERS = st.sampled_from(["0", "1", "-2", "1.5", "12.50", "1e5", "12345678901234567890", "0.1000000000000000055"])
STRINGS = st.sampled_from(["", "x", "price", "a,b", '"', 'a "price', "[", "]},{", "\\", '\\"price":', "grüße", "\n"])
SCALARS = NUMBERS.map(Num) | STRINGS | st.none() | st.booleans()
NAMES = st.sampled_from(["a", "b", "c", "0", "1", "a/b", "*"])
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=12
)
CELLS = SCALARS | st.just(Num("7")) | st.lists(SCALARS, max_size=2) | st.dictionaries(NAMES | st.just("price"), SCALARS)
ROW_NAMES = ["id", "price", "name", "1"]
OBJECT_ROWS = st.lists(
    st.fixed_dictionaries({}, optional=dict.fromkeys(ROW_NAMES, SCALARS | CELLS))
    | st.fixed_dictionaries(dict.fromkeys(ROW_NAMES, SCALARS)),
    max_size=4,
)
FULL_ROWS = st.lists(st.fixed_dictionaries(dict.fromkeys(ROW_NAMES, SCALARS)), min_size=1, max_size=4)
ARRAY_ROWS = st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(SCALARS, min_size=n, max_size=n), max_size=4))
WORDY_ROWS = st.lists(st.lists(STRINGS | SCALARS, min_size=3, max_size=3), min_size=1, max_size=4)
PLAIN_ROWS = st.lists(st.lists(NUMBERS.map(Num) | st.just("x"), min_size=3, max_size=3), min_size=1, max_size=4)
ODD_ROWS = st.lists(CELLS | st.lists(CELLS, max_size=3), max_size=4)
TABLES = st.fixed_dictionaries(
    {"rows": FULL_ROWS | PLAIN_ROWS | WORDY_ROWS | OBJECT_ROWS | ARRAY_ROWS | ODD_ROWS},
    optional={"columns": st.lists(STRINGS, max_size=3), "meta": TREES, "price": SCALARS},
)
POINTERS = st.lists(st.sampled_from(["a", "b", "0", "1", "*", "a~1b", "~2"]), max_size=3).map(
    lambda segments: "".join("/" + segment for segment in segments)
)
TABLE_POINTERS = st.sampled_from(
    [f"/rows/*/{name}" for name in ("price", "0", "1", "2", "name", "price/a")]
    + ["/rows/*", "/rows", "/rows/0/price", "/columns", "/meta", "/meta/a", "/price"],
)
COLUMNS = st.sampled_from(
    [
        ("/rows/*/price",),
        ("/rows/*/1",),
        ("/rows/*/price", "/rows/*/id"),
        ("/rows/*/2", "/rows/*/0"),
        ("/columns", "/rows/*/1"),
        ("/rows/*/name", "/meta/a"),
        ("/rows/*/1", "/rows"),
    ]
)


def pairs(documents, pointers):
    return st.tuples(documents, pointers, st.none() | pointers)


CASES = pairs(TREES, st.lists(POINTERS, min_size=1, max_size=3)) | pairs(
    TABLES, COLUMNS | COLUMNS | st.lists(TABLE_POINTERS, min_size=1, max_size=3)
)

# ------------------------------------------------------------ the reference: every place by itself


def segments(pointer):
    wild = object()
    return [
        wild if s == "*" else "*" if s == "~2" else s.replace("~1", "/").replace("~0", "~")
        for s in pointer.split("/")[1:]
    ], wild


def fits(pointer, path, *, length):
    """Whether the first `length` segments of the pointer fit the first of the path."""
    wanted, wild = segments(pointer)
    return all(w is wild or w == str(p) for w, p in zip(wanted[:length], path, strict=False))


def whole(pointers, path):
    return any(len(segments(p)[0]) <= len(path) and fits(p, path, length=len(path)) for p in pointers)


def towards(pointers, path):
    return any(len(segments(p)[0]) > len(path) and fits(p, path, length=len(path)) for p in pointers)


def starred(pointers, path):
    return any(
        segments(p)[0][len(path)] is not MISSING and p.split("/")[1:][len(path)] == "*"
        for p in pointers
        if len(segments(p)[0]) > len(path) and fits(p, path, length=len(path))
    )


def index(name, array):
    return int(name) if name.isdecimal() and str(int(name)) == name and int(name) < len(array) else None


def projected(value, reads, path=()):
    if whole(reads, path):
        return copy.deepcopy(value)
    if isinstance(value, dict):
        parts = {k: projected(v, reads, (*path, k)) for k, v in value.items() if reaches(reads, (*path, k))}
        return {k: v for k, v in parts.items() if v is not MISSING}
    if isinstance(value, list):
        parts = {str(n): projected(v, reads, (*path, n)) for n, v in enumerate(value)}
        if starred(reads, path):
            return [None if v is MISSING else v for v in parts.values()]
        return {k: v for k, v in parts.items() if v is not MISSING and reaches(reads, (*path, k))}
    return MISSING


def reaches(pointers, path):
    return whole(pointers, path) or towards(pointers, path)


def anything_read(value, reads, path=()):
    if whole(reads, path):
        return True
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return any(anything_read(v, reads, (*path, k)) for k, v in below)


def pointer(path):
    return "".join("/" + str(p).replace("~", "~0").replace("/", "~1") for p in path)


class Reference:
    """Merges by single changes, and collects the places of those that may not be made."""

    def __init__(self, reads, writes):
        self.reads = reads
        self.writes = writes
        self.refused = []

    def refuse(self, path, kept):
        self.refused.append(pointer(path))
        return kept

    def merged(self, full, sent, after, path=()):
        if sent is MISSING:
            if whole(self.writes, path):
                return after
        elif sent == after and type(sent) is type(after):
            return full
        elif whole(self.writes, path) and whole(self.reads, path):
            return after
        if isinstance(full, dict) and isinstance(after, dict):
            return self.members(full, {} if sent is MISSING else sent, after, path)
        if isinstance(full, list) and isinstance(after, list) and (sent is MISSING or isinstance(sent, list)):
            return self.elements(full, sent, after, path)
        if isinstance(full, list) and isinstance(after, dict) and (sent is MISSING or isinstance(sent, dict)):
            return self.positions(full, {} if sent is MISSING else sent, after, path)
        if not isinstance(full, dict | list) and whole(self.writes, path):
            return after
        return self.refuse(path, full)

    def members(self, full, sent, after, path):
        result = dict(full)
        for k in {**sent, **after}:
            place = (*path, k)
            if k not in after:
                if whole(self.writes, place) and whole(self.reads, place):
                    del result[k]
                else:
                    self.refuse(place, None)
            elif k in full:
                result[k] = self.merged(full[k], sent.get(k, MISSING), after[k], place)
            else:
                added = self.added(after[k], place)
                if added is not MISSING:
                    result[k] = added
        return result

    def added(self, value, path):
        if whole(self.writes, path):
            return value
        if towards(self.writes, path) and isinstance(value, dict) and value:
            parts = {k: self.added(v, (*path, k)) for k, v in value.items()}
            return {k: v for k, v in parts.items() if v is not MISSING} or MISSING
        return self.refuse(path, MISSING)

    def elements(self, full, sent, after, path):
        between = range(min(len(full), len(after)), max(len(full), len(after)))
        if between:
            seen = sent is not MISSING and all(whole(self.reads, (*path, n)) for n in range(len(full)))
            if not seen or not all(whole(self.writes, (*path, n)) for n in between):
                return self.refuse(path, full)
        kept = min(len(full), len(after))
        old = [MISSING] * kept if sent is MISSING else sent
        return [self.merged(full[n], old[n], after[n], (*path, n)) for n in range(kept)] + after[kept:]

    def positions(self, full, sent, after, path):
        result = list(full)
        for k in {**sent, **after}:
            n = index(k, full)
            if k not in after or n is None:
                self.refuse((*path, k), None)
            else:
                result[n] = self.merged(full[n], sent.get(k, MISSING), after[k], (*path, n))
        return result


# ------------------------------------------------------------ what a hook does


@st.composite
def changed(draw, value):
    """A document made of `value` by some changes anywhere in it."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        holder = {"": value}
        parent, key = holder, ""
        while isinstance(parent[key], dict | list) and parent[key] and draw(st.integers(0, 5)):
            parent = parent[key]
            keys = list(parent) if isinstance(parent, dict) else range(len(parent))
            key = draw(st.sampled_from(keys))
        what = draw(st.sampled_from(["set", "set", "set", "add", "remove"]))
        here = parent[key]
        if what == "add" and isinstance(here, dict):
            here[draw(NAMES | st.sampled_from([*ROW_NAMES, "meta"]))] = draw(SCALARS | TREES)
        elif what == "add" and isinstance(here, list):
            here.insert(draw(st.integers(0, len(here))), draw(SCALARS | TREES))
        elif what == "remove" and parent is not holder:
            del parent[key]
        else:
            parent[key] = draw(SCALARS | CELLS)
        value = holder[""]
    return value


def plain(value):
    """The same for other people's code, which knows no `Num`."""
    return json.loads(text(value, COMPACT))


def columns_changed(value):
    """Every cell of every row another one: what a hook on columns does."""
    for row in value["rows"]:
        for k in row:
            row[k] = Num("9.75") if row[k] != Num("9.75") else "x"
    return value


PATIENT = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)


@PATIENT
@given(CASES, STYLES)
def test_what_is_sent_is_what_the_reference_finds_place_by_place(case, style):
    value, reads, _ = case
    full = Result(text(value, style).encode())
    if not anything_read(value, reads):
        with pytest.raises(NothingToSend):
            Scope(reads, None).project(full)
        return
    sent = Scope(reads, None).project(full)
    event("columns" if sent.taken else "values")
    expected = projected(value, reads)
    assert read(sent.result.body) == expected
    assert types(read(sent.result.body)) == types(expected)


def types(value):
    """The kinds of everything in it: Python takes 1 for True."""
    if isinstance(value, dict):
        return {k: types(v) for k, v in value.items()}
    return [types(v) for v in value] if isinstance(value, list) else type(value)


@PATIENT
@given(CASES, STYLES)
def test_a_projection_that_comes_back_as_it_was_leaves_the_very_result(case, style):
    value, reads, writes = case
    full = Result(text(value, style).encode())
    scope = Scope(reads, writes)
    try:
        sent = scope.project(full)
    except NothingToSend:
        assume(False)
    assert scope.merge(full, sent, Result(bytes(bytearray(sent.result.body)))).result is full
    again = scope.merge(full, sent, Result(text(read(sent.result.body), (" , ", ": ", True)).encode()))
    assert read(again.result.body) == value


@PATIENT
@given(st.data(), CASES, STYLES)
def test_what_is_merged_is_what_the_reference_merges_change_by_change(data, case, style):
    value, reads, writes = case
    full = Result(text(value, style).encode())
    assume(anything_read(value, reads))
    before = projected(value, reads)
    every_cell = isinstance(before, dict) and isinstance(before.get("rows"), list) and data.draw(st.booleans())
    if every_cell and all(isinstance(row, dict) for row in before["rows"]):
        after = columns_changed(copy.deepcopy(before))
    else:
        after = data.draw(changed(before))
    check(full, value, after, reads, writes, text(after, data.draw(STYLES)).encode())


@PATIENT
@given(st.data(), TREES | TABLES, st.lists(POINTERS | TABLE_POINTERS, max_size=3), STYLES)
def test_a_hook_that_reads_everything_writes_no_more_than_it_may(data, value, writes, style):
    full = Result(text(value, style).encode())
    after = data.draw(changed(value))
    check(full, value, after, None, writes, text(after, style).encode())


def check(full, value, after, reads, writes, body):
    every = [""] if reads is None else reads
    reference = Reference(every, every if writes is None else writes)
    sent_value = projected(value, every)
    expected = reference.merged(copy.deepcopy(value), sent_value, after)
    strict = Scope(reads, writes)
    sent = strict.project(full)
    event("columns" if sent.taken else "values")
    event("refused" if reference.refused else "merged")
    if reference.refused:
        with pytest.raises(ReplyUnusable) as e:
            strict.merge(full, sent, Result(body))
        assert e.value.reason == Reason.CONTRACT
        assert any(f"{place!r}" in e.value.detail for place in reference.refused)
    else:
        merged = strict.merge(full, sent, Result(body)).result
        assert types(read(merged.body)) == types(expected)
        assert read(merged.body) == expected
    lenient = Scope(reads, writes, drops=True)
    dropped = lenient.merge(full, lenient.project(full), Result(body))
    assert read(dropped.result.body) == expected
    assert (dropped.left_out is not None) == bool(reference.refused)
    if read(full.body) == expected and reference.refused:
        assert dropped.result is full or read(dropped.result.body) == value


@PATIENT
@given(st.data(), CASES)
def test_every_form_of_reply_comes_to_the_same(data, case):
    value, reads, writes = case
    assume(anything_read(value, reads))
    value = json.loads(text(value, COMPACT))
    full = Result(json.dumps(value).encode())
    scope = Scope(reads, writes)
    sent = scope.project(full)
    before = json.loads(sent.result.body)
    after = plain(data.draw(changed(before)))
    answers = [reply.Replace(Result(json.dumps(after).encode()))]
    answers.append(reply.JsonPatch(jsonpatch.make_patch(before, after).patch))
    if isinstance(after, dict) and "null" not in json.dumps(after) and isinstance(before, dict):
        answers.append(reply.MergePatch({**dict.fromkeys(before.keys() - after.keys()), **exchanged(before, after)}))
    found = []
    for answer in answers:
        try:
            merged = scope.merge(full, sent, reply.apply(answer, sent.result, max_depth=DEPTH))
        except ReplyUnusable as e:
            found.append(e.reason)
        else:
            found.append(json.loads(merged.result.body))
    assert all(each == found[0] for each in found), found


def exchanged(before, after):
    """The merge patch of the members that are to be new: an object is emptied by naming what is in it."""
    patch = {}
    for k, v in after.items():
        old = before.get(k)
        if isinstance(v, dict) and isinstance(old, dict):
            patch[k] = {**dict.fromkeys(old.keys() - v.keys()), **exchanged(old, v)}
        elif k not in before or json.dumps(old) != json.dumps(v):
            patch[k] = v
    return patch


@PATIENT
@given(TABLES, COLUMNS, STYLES)
def test_the_fast_way_takes_and_merges_columns_without_touching_another_byte(value, reads, style):
    full = Result(text(value, style).encode())
    columns = Columns.of(parse_all(reads))
    taken = columns.take(full.body) if columns else None
    assume(taken is not None and taken.found)
    scope = Scope(reads, None)
    sent = scope.project(full)
    after = columns_changed(read(sent.result.body))
    merged = scope.merge(full, sent, Result(text(after, COMPACT).encode())).result
    expected = Reference(reads, reads).merged(copy.deepcopy(value), projected(value, reads), after)
    assert read(merged.body) == expected
    assert list(read(merged.body)) == list(value)
