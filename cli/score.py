"""``tahini score``: score applicants by a released model whose card verifies, and say why."""

from __future__ import annotations

import hashlib
import hmac
import json
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from cli.pinned import RegistryKey, pinned
from cli.shared import AsJson, Noun, opened_node, parsed, progress, say
from protocol.cards import ModelCard
from protocol.errors import ConsentError
from protocol.parties import Consortium, Role

if TYPE_CHECKING:
    import pandas as pd

    from clients.data.columns import NoRow, OddQuotes
    from credit.models import CreditModel
    from lending.cases import Scored
    from lending.score.glossary import Glossary
    from lending.score.reasons import MeanPoints
    from lending.score.scorer import Bins, Scorer

Language = Literal["en", "zh"]
Exported = Literal["csv", "sql"]
CUT_OFF = 600

app = Noun("Score applicants by a released model, and say why.")


@app.command(
    epilog="Examples: `tahini score --home lenders/aspen --model models/4f1c…/model.safetensors "
    "--data applicants.parquet --explain` · `tahini score … --data applicants.csv --out "
    "scores.csv` · `tahini score --consortium consortium.jws --registry-key KEY --model … --export "
    "sql`"
)
def score(
    model: Annotated[Path, typer.Option(help="The model's file.", dir_okay=False)],
    home: Annotated[
        Path | None,
        typer.Option(
            help="The node's home folder, whose consortium is believed.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    consortium: Annotated[
        Path | None,
        typer.Option(
            help="Without a node: the pinned consortium document, never one that came with the "
            "model.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    registry_key: RegistryKey = None,
    card: Annotated[
        Path | None,
        typer.Option(
            help="Its signed card; model-card.jws beside the model if left out.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Applicants: a .parquet, .csv or .json file with the model's features as columns "
            "(JSON: a list of objects, or one on each line).",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say each one's points and reasons too.")
    ] = False,
    cut_off: Annotated[
        int, typer.Option(help="Reasons compare with the applicants just above this score.")
    ] = CUT_OFF,
    families: Annotated[
        Path | None,
        typer.Option(
            help="TOML: which features are one reason, what they are called, what can change.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    language: Annotated[Language, typer.Option(help="Of reasons.")] = "en",
    out: Annotated[
        Path | None, typer.Option(help="Write there: .csv, or .json with an object on each line.")
    ] = None,
    export: Annotated[
        Exported | None,
        typer.Option(help="Print the scorecard itself instead: as csv, or as one SQL expression."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score applicants by a released model, after its card was verified with the pinned consortium.

    Checks no consent: whoever scores people to decide about them does it through the desk. Scores
    run from 350 to 950; base and points add up to them.
    """
    if (data is None) == (export is None):
        raise ConsentError("say either whom to score (--data) or what to print (--export)")
    if out is not None and out.suffix not in {".csv", ".json"}:
        raise ConsentError(f"{out}: write scores to a .csv or a .json file")
    if (home is None) == (consortium is None):
        raise ConsentError("say whom to believe: --home, or without a node --consortium")
    believed = opened_node(home).consortium if home else pinned(model, consortium, registry_key)
    told, loaded = _verified(believed, model, card or model.parent / "model-card.jws")
    scorer, glossary = _scorer(loaded, told["model_sha256"], families)
    if data is None:
        from lending.score.sql import score_sql, scorecard_csv

        look_up = scorer.look_up
        typer.echo((scorecard_csv if export == "csv" else score_sql)(look_up).rstrip("\n"))
        return
    scoring = _Scoring(scorer, glossary, loaded, data, _Asked(explain, cut_off, language))
    if out is None:
        people = list(scoring.people())
        if as_json:
            say(told | {"bands": scorer.bands.table(), "people": people}, as_json)
        else:
            typer.echo(_note(told))
            for person in people:
                typer.echo(_line(person, explain))
        return
    partial = out.with_name(f"{out.name}.partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        count = _write(file, out.suffix, scoring.people())
    partial.replace(out)
    found = told | {"people": count, "out": str(out)}
    say(found if as_json else f"{_note(told)}; {count:,} people scored: {out}", as_json)


# --- the model


def _verified(
    consortium: Consortium, model: Path, card: Path
) -> tuple[dict[str, Any], CreditModel]:
    """What was verified, and the model: raises ConsentError or what its documents raise.

    Approvals and log entry are checked as well where ``tahini model fetch`` has put them beside the
    model.
    """
    from clients.models import CAMPAIGN_FILE, KeptModel, check
    from credit.bands import require_these
    from credit.models import CreditModel

    try:
        signed = card.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConsentError(
            f"there is no model card at {card}: a model without its card scores nobody; fetch "
            "both: tahini model fetch"
        ) from error
    verified = ModelCard.verify(signed, consortium.one(Role.COORDINATOR).key)
    if verified.watched is not None:
        raise ConsentError(f"{card} is the card of figures that watch a model: they score nobody")
    try:
        file = hashlib.sha256(model.read_bytes()).hexdigest()
    except OSError as error:
        raise ConsentError(
            f"there is no model at {model} ({error.strerror}); tahini model fetch"
        ) from error
    if not hmac.compare_digest(file, verified.model_sha256):
        raise ConsentError(f"{model} is not the file that the card {card} names")
    whole = (model.parent / CAMPAIGN_FILE).exists()
    if whole:
        check(KeptModel.read(model.parent), verified.campaign_sha256, consortium)
    require_these(map(dict, verified.bands))
    loaded = CreditModel.load(model)
    if (loaded.kind, loaded.embedding.grid.schema.names) != (verified.model, verified.features):
        raise ConsentError(f"{model} is another kind of model than its card says")
    told = {
        "model_sha256": verified.model_sha256,
        "card_sha256": verified.sha256,
        "approvals_checked": whole,
    }
    return told, loaded


def _note(told: dict[str, Any]) -> str:
    rest = "" if told["approvals_checked"] else " (approvals and log entry are not beside it)"
    return f"the card of model {told['model_sha256'][:12]} verifies{rest}"


def _scorer(
    model: CreditModel, model_sha256: str, families: Path | None
) -> tuple[Scorer, Glossary]:
    from lending.law.features import LawOfDay
    from lending.score.glossary import Glossary
    from lending.score.scorer import Scorer

    schema = model.embedding.grid.schema
    under = LawOfDay(schema.jurisdictions, datetime.now(UTC).date())
    said = None
    if families is not None:
        with parsed(families, "TOML"):
            said = tomllib.loads(families.read_text(encoding="utf-8-sig"))
    return Scorer.of(model, model_sha256, under), Glossary.of(schema, said, str(families))


# --- people


@dataclass(frozen=True)
class _Asked:
    explain: bool
    cut_off: int
    language: Language


@dataclass(frozen=True)
class _Scoring:
    scorer: Scorer
    glossary: Glossary
    model: CreditModel
    data: Path
    asked: _Asked

    def people(self) -> Iterator[dict[str, Any]]:
        """One by one, in the order of the file; with reasons the file is read twice."""
        reference = self._reference() if self.asked.explain else None
        row = 0
        with progress("scoring", None) as done:
            for bins in self._bins():
                for scored, one in self._each(bins):
                    row += 1
                    yield self._told(row, scored, one, reference)
                done(row)

    def _bins(self) -> Iterator[Bins]:
        for table in _tables(self.data, self.model):
            yield self.scorer.bins(table)

    def _each(self, bins: Bins) -> Iterator[tuple[Scored, list[int]]]:
        for one in bins.tolist():
            yield self.scorer.scored(one), one

    def _reference(self) -> MeanPoints:
        from lending.score.reasons import just_above

        sample = (scored for bins in self._bins() for scored, _ in self._each(bins))
        return just_above(sample, self.asked.cut_off)

    def _told(
        self, row: int, scored: Scored, bins: list[int], reference: MeanPoints | None
    ) -> dict[str, Any]:
        found = {
            "row": row,
            "score": scored.score,
            "band": scored.band,
            "probability_of_bad": scored.probability,
        }
        if reference is None:
            return found
        from lending.score.reasons import nearest, reasons
        from lending.score.sentences import counterfactual_sentence, reason_sentence

        language, glossary = self.asked.language, self.glossary
        found["base"] = scored.base
        found["points"] = {one.feature: one.points for one in scored.points}
        found["reasons"] = [
            asdict(one) | {"sentence": reason_sentence(one, glossary, language)}
            for one in reasons(scored, reference, glossary.families)
        ]
        look_up = self.scorer.look_up
        other = nearest(look_up, bins, glossary.changeable, self.asked.cut_off)
        found["what_if"] = other and counterfactual_sentence(other, look_up, glossary, language)
        return found


def _tables(data: Path, model: CreditModel) -> Iterator[pd.DataFrame]:
    """The applicants as the gate would hand them to training: values converted by the same
    functions, stale ones forgotten by the same rule. Raises ConsentError, or what reading does."""
    import pandas as pd

    from clients.data.columns import conversions
    from credit.features import forget

    schema = model.embedding.grid.schema
    dates = {one.dated_by for one in schema.features} | {one.ended_by for one in schema.features}
    wanted = [*schema.names, *sorted(name for name in dates if name)]
    today = datetime.now(UTC).date()
    ours = [one for one in conversions({}, schema) if one.name in wanted]
    for batch in _batches(data, wanted):
        read = {one.name: one.of(batch[one.name]) for one in ours}
        for name, (_, unreadable) in read.items():
            if unreadable:
                raise ConsentError(
                    f"{data}: column {name!r} holds something that is no number or date in "
                    f"{unreadable} rows; correct them, or leave them empty"
                )
        values = {name: pd.Series(each.values, batch.index) for name, each in read.items()}
        nobody_bad: dict[str, Any] = {schema.target: 0}
        if schema.outcome_ended_by:
            nobody_bad[schema.outcome_ended_by] = None
        yield forget(pd.DataFrame(values).assign(**nobody_bad), schema, today)


def _batches(data: Path, wanted: list[str]) -> Iterator[pd.DataFrame]:
    from clients.data.files import FileReader

    if data.suffix == ".json":
        yield _json_table(data, wanted)
        return
    if data.suffix not in {".csv", ".parquet"}:
        raise ConsentError(f"{data}: applicants stand in a .parquet, .csv or .json file")
    kind: Literal["csv", "parquet"] = "csv" if data.suffix == ".csv" else "parquet"
    reader = FileReader(data.absolute().parent, data.name, kind)
    _require(data, wanted, reader.columns())

    def told(odd: NoRow | OddQuotes) -> None:
        if why := getattr(odd, "why", None):
            raise ConsentError(f"{data}, line {odd.line}: {why}; nobody was scored")

    yield from reader.batches(wanted, told)


def _json_table(data: Path, wanted: list[str]) -> pd.DataFrame:
    """Of a list of objects, or of one object on each line; what an object does not say is null."""
    import pandas as pd

    with parsed(data, "JSON"):
        text = data.read_text(encoding="utf-8-sig")
        if text.lstrip().startswith("["):
            rows = json.loads(text)
        else:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ConsentError(f"{data} is no list of objects, nor one on each line")
    _require(data, wanted, dict.fromkeys(name for row in rows for name in row))
    columns = {name: pd.Series([row.get(name) for row in rows], dtype=object) for name in wanted}
    return pd.DataFrame(columns)


def _require(data: Path, wanted: Iterable[str], there: Iterable[str]) -> None:
    held = list(there)
    if lacking := [name for name in wanted if name not in held]:
        raise ConsentError(
            f"{data} has no column {lacking[0]!r}, which the model reads; its columns are "
            f"{', '.join(held)}"
        )


# --- what is said


def _line(person: dict[str, Any], explain: bool) -> str:
    bad = f"bad {person['probability_of_bad']:.2%}"
    told = f"{person['row']:>6}  {person['score']}  {person['band']:<9}  {bad}"
    if not explain:
        return told
    points = [f"{worth:+d} {name}" for name, worth in person["points"].items()]
    lines = [told, f"        {person['base']} {' '.join(points)}"]
    lines += [f"        {one['sentence']}" for one in person["reasons"]]
    return "\n".join([*lines, *([f"        {person['what_if']}"] if person["what_if"] else [])])


def _write(file: TextIO, suffix: str, people: Iterator[dict[str, Any]]) -> int:
    """How many."""
    import csv

    count = 0
    writer = csv.writer(file)
    for person in people:
        if suffix == ".json":
            file.write(json.dumps(person, ensure_ascii=False) + "\n")
        else:
            flat = _flat(person)
            if count == 0:
                writer.writerow(flat)
            writer.writerow(flat.values())
        count += 1
    return count


def _flat(person: dict[str, Any]) -> dict[str, Any]:
    """For a line of CSV: points in columns, the sentences of reasons in one."""
    found = {name: value for name, value in person.items() if name not in {"points", "reasons"}}
    found |= {f"points {name}": worth for name, worth in person.get("points", {}).items()}
    if "reasons" in person:
        found["reasons"] = "; ".join(one["sentence"] for one in person["reasons"])
    return found
