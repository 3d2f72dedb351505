"""``tahini desk``: what it keeps of a person, what it forgets, what it publishes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.shared import AsJson, DeskHome, Noun, say
from crypto.keys import write_secret

app = Noun("Look after a desk.", "")


@app.command(
    epilog="Example: `tahini desk person --home desk --pseudonym v1.8Jk… --out access.json`"
)
def person(
    home: DeskHome,
    pseudonym: Annotated[str, typer.Option(help="The person's name at this lender.")],
    out: Annotated[Path, typer.Option(help="Where to write; its owner alone can read it.")],
) -> None:
    """Write all that the desk keeps of one person, to answer a request of theirs with: facts,
    points, rules that were looked at, reasons, letters, loans."""
    import orjson

    from desk.commands.person import person_file
    from desk.home import opened_desk

    with opened_desk(home) as desk:
        found = person_file(desk, pseudonym)
    write_secret(out, orjson.dumps(found, option=orjson.OPT_INDENT_2))
    typer.echo(f"wrote {out}: {len(found['applications'])} applications")


@app.command(epilog="Example: `tahini desk assess assessment.toml --home desk`")
def assess(
    form: Annotated[
        Path, typer.Argument(help="The filled-in form, TOML.", exists=True, dir_okay=False)
    ],
    home: DeskHome,
    as_json: AsJson = False,
) -> None:
    """Sign the lender's own assessment of what scoring here may do to people's rights, and put it
    in the home: under the law of the Union nothing is decided before (AI Act 27). A desk that is
    served reads it when it starts again; for a form: `tahini assessment template --scoring`."""
    from cli.forms import read_form
    from clients.home import Node
    from desk.assessed import DeskUse, keep_assessment
    from desk.home import opened_desk, read_settings
    from protocol.assessments import ImpactAssessment
    from protocol.schema import now

    node = Node.open(read_settings(home).node)
    made = read_form(form, ImpactAssessment, {"author": node.lender, "made_at": now()})
    with opened_desk(home) as desk:
        path = keep_assessment(home, DeskUse(node.lender, desk.reads, now(), made), node.key)
    say({"assessment": made.sha256} if as_json else f"signed {path}; start the desk again", as_json)


@app.command(epilog="Example: `tahini desk retain --home desk --days 1825 --json`")
def retain(
    home: DeskHome,
    days: Annotated[int, typer.Option(help="How long what has ended is kept.", min=0)],
    pseudonym: Annotated[
        str | None, typer.Option(help="Of this person only, who asked to be erased.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Forget applications that ended longer ago, and loans that were settled: their keys are
    destroyed. Run it every day; the law of the place says for how long records are kept."""
    from desk.commands.retain import retain as forget
    from desk.home import opened_desk

    with opened_desk(home) as desk:
        found = forget(desk, days, pseudonym)
    said = f"{found.forgotten} applications forgotten, {found.kept} kept"
    say(asdict(found) if as_json else said, as_json)


@app.command(epilog="Example: `tahini desk erase --home desk --json`")
def erase(home: DeskHome, as_json: AsJson = False) -> None:
    """Erase whom the registry orders the lender to erase, and confirm it to the registry: cases,
    scores, letters and reviews go; what the law of the place has kept goes when its time is over;
    a loan stays until it is settled, by its contract. Run it every few minutes."""
    from clients.erasures import obey
    from clients.home import Node
    from desk.commands.erase import erase_ordered
    from desk.home import erasure_orders, opened_desk, read_settings

    node = Node.open(read_settings(home).node)
    with opened_desk(home) as desk, node.registry() as client:
        obey(node, client, client.revocations())
        found = erase_ordered(desk, erasure_orders(node, desk.at_rest))
        whole = obey(node, client, client.revocations())
    told = asdict(found) | {"acknowledged": whole}
    waits = (
        "" if whole else "; another desk, or the loan book (tahini book retain), is to erase first"
    )
    said = (
        f"{found.people} people erased: {found.applications} applications forgotten, "
        f"{found.kept} kept by law, {found.loans} loans stay{waits}"
    )
    say(told if as_json else said, as_json)


@app.command(epilog="Example: `tahini desk principles --home desk --language zh`")
def principles(
    home: DeskHome,
    language: Annotated[Literal["en", "zh"], typer.Option(help="In which it is told.")] = "en",
    as_json: AsJson = False,
) -> None:
    """Tell what the desk publishes of its scoring: purpose, principles, mechanism, what people can
    do. Everybody reads the same at GET /v1/principles."""
    from desk.commands.publish import published
    from desk.home import opened_desk
    from desk.principles import in_words

    with opened_desk(home) as desk:
        found = published(desk, language)
    say(found if as_json else in_words(found, language).rstrip(), as_json)
