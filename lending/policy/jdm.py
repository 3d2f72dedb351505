"""Policies as GoRules' JSON Decision Model (JDM) and back, so that their editor can be used.

What goes out is a graph of one decision table after the other; each passes on what it was given and
puts what it says under its own name. What comes in are the tables of such a graph, into a policy
that says everything else: JDM knows no types, dates of validity, law or three truth values. Its
engine reads a fact that is missing as null; ours leaves it unknown. A ``unique`` table goes out as
``first``, which says the same of rows that never hold together, and comes back ``unique`` if it
was.

A cell, an output or a column that a table of ours cannot have is refused, never approximated.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from crypto.sentences import one_sentence
from lending.cases import Value
from lending.policy.conditions import (
    WHOLE,
    Condition,
    DeclaredFact,
    Span,
    TableError,
    parse_condition,
    written,
)
from lending.policy.document import OUTPUTS, CreditPolicy, PolicyDocument, PolicyRefused, TableName
from lending.policy.tables import DecisionTable

CONTENT_TYPE = "application/vnd.gorules.decision"
MOST_DIGITS = 28
"""That the engine's decimals have, before and after the point."""
FIELDS = {"tier": "tiers.tier"}
"""Facts that stand elsewhere in the graph than under their own name."""
_NAMES = {field: name for name, field in FIELDS.items()}


def to_jdm(policy: CreditPolicy) -> dict[str, Any]:
    """The tables of a policy as a graph. Raises TableError: a number that JDM's engine rounds."""
    nodes = [_node("request", "inputNode", 0)]
    for at, (name, table) in enumerate(policy.tables.items(), 1):
        content = {**_content(table, policy.readable(name)), "outputPath": name}
        nodes.append({**_node(name, "decisionTableNode", at), "content": content})
    nodes.append(_node("response", "outputNode", len(nodes)))
    edges = [
        {
            "id": f"{one['id']}-{two['id']}",
            "type": "edge",
            "sourceId": one["id"],
            "targetId": two["id"],
        }
        for one, two in pairwise(nodes)
    ]
    return {"contentType": CONTENT_TYPE, "nodes": nodes, "edges": edges}


def _node(name: str, kind: str, at: int) -> dict[str, Any]:
    return {"id": name, "name": name, "type": kind, "position": {"x": 300 * at, "y": 100}}


def _content(table: DecisionTable, facts: Mapping[str, DeclaredFact]) -> dict[str, Any]:
    outputs = dict.fromkeys(name for row in table.rows for name in row.then)
    return {
        "hitPolicy": "collect" if table.hit == "collect" else "first",
        "passThrough": True,
        "inputs": [
            {"id": f"in-{axis.fact}", "name": axis.fact, "field": FIELDS.get(axis.fact, axis.fact)}
            for axis in table.axes
        ],
        "outputs": [{"id": f"out-{name}", "name": name, "field": name} for name in outputs],
        "rules": [
            {
                "_id": row.id,
                "_description": row.note,
                **{
                    f"in-{axis.fact}": _unary(row.when.get(axis.fact), facts[axis.fact])
                    for axis in table.axes
                },
                **{f"out-{name}": _literal(row.then.get(name)) for name in outputs},
            }
            for row in table.rows
        ],
    }


def _literal(value: Value | None) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _unary(condition: Condition | None, fact: DeclaredFact) -> str:
    """A condition in the engine's language of unary tests."""
    if condition is None:
        return ""
    if fact.kind == "date":
        return " or ".join(map(_dates, condition.spans))
    if fact.ordered:
        for span in condition.spans:
            for bound in (span.low, span.high):
                _require_exact(bound)
        return str(condition)
    if fact.kind == "boolean":
        return str(condition)
    named = ", ".join(f'"{one}"' for one in sorted(map(str, condition.values)))
    return f"not in [{named}]" if condition.excluding else named


def _require_exact(bound: Any) -> None:
    if bound is None:
        return
    parts = Decimal(repr(bound)).normalize().as_tuple()
    exponent = int(parts.exponent)
    if exponent < -MOST_DIGITS or len(parts.digits) + exponent > MOST_DIGITS:
        raise TableError(f"JDM's engine rounds {bound}: it keeps {MOST_DIGITS} digits")


def _dates(span: Span) -> str:
    if span.low is not None and span.low == span.high and span.with_low and span.with_high:
        return f'date($) == date("{written(span.low)}")'
    if span.low is not None and span.high is not None:  # their "and" binds no closer than "or"
        left, right = "[" if span.with_low else "(", "]" if span.with_high else ")"
        bounds = f'date("{written(span.low)}")..date("{written(span.high)}")'
        return f"date($) in {left}{bounds}{right}"
    if span.low is not None:
        return f'date($) {">=" if span.with_low else ">"} date("{written(span.low)}")'
    return f'date($) {"<=" if span.with_high else "<"} date("{written(span.high)}")'


def from_jdm(graph: Any, base: PolicyDocument) -> PolicyDocument:
    """``base`` with the tables of ``graph``; a table that is not there stays as it is.

    Raises:
        PolicyRefused: no JDM, a node that is no table of a policy, or the policy that comes of it
            is none. TableError: what a table cannot have, by table, row and column.
    """
    policy = CreditPolicy(base)
    tables = {name: table.model_dump() for name, table in base.tables.items()}
    seen = set()
    for node in _nodes(graph):
        name = _name(node)
        if name in seen:
            raise PolicyRefused(f"two nodes are called {name!r}")
        seen.add(name)
        reader = _Reader(name, policy.readable(name))
        hit, rows = reader.table(_of(node, "content", dict, f"node {name!r}"))
        unique = hit == "first" and base.tables[name].hit == "unique"
        tables[name] = {"hit": "unique" if unique else hit, "rows": rows}
    if not seen:
        raise PolicyRefused("the graph has no decision table")
    try:
        return PolicyDocument.model_validate({**base.model_dump(), "tables": tables})
    except ValidationError as error:
        raise PolicyRefused(f"the tables make no policy: {one_sentence(error)}") from error


def _name(node: Mapping[str, Any]) -> TableName:
    for name in OUTPUTS:
        if node.get("name") == name:
            return name
    known = ", ".join(OUTPUTS)
    raise PolicyRefused(f"the node {node.get('name')!r} is no table of a policy: {known}")


def _of(owner: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    found = owner.get(name)
    if not isinstance(found, kind):
        raise PolicyRefused(f"{where} has no {name}, so it is no JDM")
    return found


def _nodes(graph: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(graph, dict):
        raise PolicyRefused("the file holds no JSON object, so it is no JDM")
    for node in _of(graph, "nodes", list, "the graph"):
        if not isinstance(node, dict):
            raise PolicyRefused("a node of the graph is no object, so it is no JDM")
        kind = node.get("type")
        if kind not in {"inputNode", "outputNode", "decisionTableNode"}:
            raise PolicyRefused(
                f"the node {node.get('name')!r} is a {kind}; a policy has decision tables only"
            )
        if kind == "decisionTableNode":
            yield node


class _Reader:
    """Reads one table of a graph."""

    def __init__(self, name: TableName, facts: Mapping[str, DeclaredFact]) -> None:
        self.name, self.facts = name, facts

    def table(self, content: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]]:
        where = f"table {self.name!r}"
        hit = content.get("hitPolicy")
        if hit not in {"first", "collect"}:
            raise PolicyRefused(f"{where}: the hit policy {hit!r} is not known")
        if content.get("inputField") or content.get("executionMode", "single") != "single":
            raise TableError(f"{where} is run on a part of its input; ours are run on all of it")
        inputs = [self._column(one) for one in _of(content, "inputs", list, where)]
        outputs = [self._output(one) for one in _of(content, "outputs", list, where)]
        for what, columns in (("read", inputs), ("say", outputs)):
            if twice := [one for one, found in Counter(n for _, n in columns).items() if found > 1]:
                raise TableError(f"{where}: two columns {what} {twice[0]!r}; ours have one for it")
        rules = _of(content, "rules", list, where)
        return hit, [
            self._row(rule, f"row-{n}", inputs, outputs) for n, rule in enumerate(rules, 1)
        ]

    def _column(self, column: Mapping[str, Any]) -> tuple[str, str]:
        """Its id and the fact that it reads."""
        field = column.get("field")
        name = _NAMES.get(str(field), str(field))
        if not field or name not in self.facts:
            raise TableError(
                f"table {self.name!r}: the column {column.get('name')!r} reads {field!r}, which is "
                "no declared fact; a table of ours computes nothing"
            )
        return str(column.get("id")), name

    def _output(self, column: Mapping[str, Any]) -> tuple[str, str]:
        field = str(column.get("field"))
        if field not in OUTPUTS[self.name].model_fields:
            raise TableError(f"table {self.name!r} says nothing called {field!r}")
        return str(column.get("id")), field

    def _row(
        self,
        rule: Mapping[str, Any],
        unnamed: str,
        inputs: Sequence[tuple[str, str]],
        outputs: Sequence[tuple[str, str]],
    ) -> dict[str, Any]:
        given = str(rule.get("_id"))
        row = given if re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", given) else unnamed
        where = f"table {self.name!r}, row {row!r}"
        when, then = {}, {}
        for column, fact in inputs:
            try:
                condition = self._condition(_cell(rule, column), self.facts[fact])
            except TableError as error:
                raise TableError(f"{where}, {fact}: {error}") from error
            if condition is not None:
                when[fact] = str(condition)
        for column, name in outputs:
            try:
                text = _cell(rule, column).strip()
            except TableError as error:
                raise TableError(f"{where}, {name}: {error}") from error
            if text:
                then[name] = _constant(text, f"{where}, {name}")
        note = str(rule.get("_description") or "")
        return {"id": row, "when": when, "then": then, "note": note}

    def _condition(self, text: str, fact: DeclaredFact) -> Condition | None:
        text = text.strip()
        if text in {"", "-"}:
            return None
        if fact.kind == "code":
            return _codes(text, fact)
        if fact.kind == "boolean":
            return parse_condition(text, fact)
        terms = text.split(" or ") if fact.kind == "date" else re.split(r",| or ", text)
        if any(" and " in one for one in terms[1:]):
            raise TableError(f"{text!r} has an and behind an or; write an interval: [a..b]")
        spans = tuple(_meet(term, fact) for term in terms)
        return Condition(spans=spans)


def _cell(rule: Mapping[str, Any], column: str) -> str:
    """A cell is text; nothing, where it is left out. A number or a truth value is none: 0 and false
    would be taken for nothing."""
    found = rule.get(column)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise TableError(f"{found!r} is no text; a cell of JDM is an expression, in text")
    return found


def _constant(text: str, where: str) -> Any:
    quoted = re.fullmatch(r"'([^'\\]*)'", text)
    try:
        found = quoted[1] if quoted else json.loads(text)
    except ValueError as error:
        raise TableError(f"{where}: {text} is computed; a table of ours says constants") from error
    if not isinstance(found, str | int):
        raise TableError(f"{where}: {text} is neither text, nor a whole number, nor true or false")
    return found


_QUOTED = r"(?:\"[^\"]*\"|'[^']*')"
_LIST = rf"{_QUOTED}(?:\s*,\s*{_QUOTED})*"
_CODES = re.compile(
    rf"(?P<not>not\s+in\s*\[|!=\s*)?(?:in\s*\[|==\s*)?(?P<list>{_LIST})\s*(?P<end>\])?"
)


def _codes(text: str, fact: DeclaredFact) -> Condition | None:
    found = _CODES.fullmatch(text)
    if not found or ("[" in text) != (found["end"] is not None):
        raise TableError(f"{text} is no list of texts in quotation marks")
    named = ", ".join(one[1:-1] for one in re.findall(_QUOTED, found["list"]))
    return parse_condition(f"not {named}" if found["not"] else named, fact)


_DAY = r"(?:date|d)\([\"']([0-9-]+)[\"']\)"
_DATE = re.compile(rf"(?:date|d)\(\$\)\s*(==|<=|>=|<|>)\s*{_DAY}")
_DATES = re.compile(rf"(?:date|d)\(\$\)\s+in\s+([\[(]){_DAY}\.\.{_DAY}([\])])")


def _meet(term: str, fact: DeclaredFact) -> Span:
    """One term: an interval, a comparison, or two of these joined by ``and``."""
    spans = []
    for part in term.split(" and "):
        text = part.strip()
        if fact.kind == "date":
            if within := _DATES.fullmatch(text):
                text = f"{within[1]}{within[2]}..{within[3]}{within[4]}"
            elif compared := _DATE.fullmatch(text):
                text = f"{compared[1].removeprefix('==')} {compared[2]}"
            else:
                raise TableError(f"{text} does not compare date($) with a date")
        elif opened := re.fullmatch(r"([\[\](])(.+\.\..+)([\])\[])", text):
            left, right = opened[1].replace("]", "("), opened[3].replace("[", ")")
            text = f"{left}{opened[2]}{right}"
        elif fact.kind in WHOLE | {"number"}:
            text = text.removeprefix("$").removeprefix("==").strip()
        found = parse_condition(text, fact)
        if found is None or len(found.spans) != 1:
            raise TableError(f"{text!r} is neither a comparison nor an interval")
        spans.append(found.spans[0])
    return spans[0] if len(spans) == 1 else _both(spans, term)


def _both(spans: Sequence[Span], term: str) -> Span:
    low = [one for one in spans if one.low is not None]
    high = [one for one in spans if one.high is not None]
    if len(spans) != 2 or len(low) != 1 or len(high) != 1:
        raise TableError(f"{term!r} is more than one lower and one upper bound; write an interval")
    if low[0].low > high[0].high:  # type: ignore[operator]
        raise TableError(f"the bounds of {term!r} are in the wrong order")
    if low[0].low == high[0].high and not (low[0].with_low and high[0].with_high):
        raise TableError(f"{term!r} holds for no value; leave the row out, or write the value")
    return Span(low[0].low, high[0].high, low[0].with_low, high[0].with_high)
