"""``tahini assessment``: impact assessments, as a form and as they were recorded."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.institution import institution
from cli.shared import AnyHome, AsJson, Noun, say
from protocol.assessments import ImpactAssessment
from protocol.client.filing import fetch_assessment, list_assessments
from protocol.errors import Malformed
from protocol.hashes import whole_hash

app = Noun(
    "Impact assessments: what a campaign may do to people, written down before it begins.",
    "The coordinator records one (tahini coordinator assess); a campaign names it by hash, and "
    "whoever approves the campaign approves it. Engineering, not legal advice.",
)
TEMPLATE = """# An impact assessment (PIPL 55, 56; GDPR 35; AI Act 27). Fill in, then:
#   tahini coordinator assess THIS-FILE --home coordinator
id = "joint-credit-model"
title = "Joint training of a credit model"
purpose = "PURPOSE"
description = "What is done with which data, by whom, how often and for how long."
necessity = "Why nothing less would do: fewer features, fewer people, no model at all."
# every kind of data that the campaign's features are of
categories = ["repayment"]
# who is affected; name the vulnerable
groups = ["borrowers who gave consent"]
# how many at most
people = 100000
# whether decisions about people are made by machine alone on what comes of it
automated_decision = false
oversight = "Who watches over it, and how a person gets a review of a decision."
# a function or a staff id; no name is needed
approved_by = "officer for personal information"
# RFC 3339, two years after now at most
valid_until = 2027-06-30T00:00:00Z

[[risks]]
what = "somebody learns from the released model who was in it"
# low, medium, high or severe
likelihood = "low"
severity = "medium"
measures = ["differential privacy per person"]
left = "low"

# where a high or severe risk is left: which authority was consulted before (GDPR 36)
# [consulted]
# authority = ""
# at = 2026-11-01T00:00:00Z
# outcome = ""
"""
SCORING_FORM = {
    "tahini coordinator assess THIS-FILE --home coordinator": (
        "tahini desk assess THIS-FILE --home desk"
    ),
    "joint-credit-model": "scoring-applications",
    "Joint training of a credit model": "Scoring of applications for a loan",
    "every kind of data that the campaign's features are of": (
        "every kind of data that the desk's sources and verifiers are asked for"
    ),
    "automated_decision = false": "automated_decision = true",
    "Who watches over it, and how a person gets a review of a decision.": (
        "Who watches over it, how a person gets a review, what is done if a risk comes about."
    ),
    "somebody learns from the released model who was in it": (
        "people of one group are declined more often than they deserve"
    ),
    "differential privacy per person": "review by a person; tahini desk monitor every month",
}
"""What another form has for a desk, instead of words of :data:`TEMPLATE`."""
WATCHING_FORM = {
    "joint-credit-model": "watching-a-model",
    "Joint training of a credit model": "Watching a released credit model together",
    "somebody learns from the released model who was in it": (
        "somebody learns from the released counts who applied, or how their loan ended"
    ),
}
"""And for campaigns that watch a model (``tahini watch propose``)."""


@app.command(epilog="Example: `tahini assessment template > assessment.toml`")
def template(
    scoring: Annotated[
        bool, typer.Option("--scoring", help="Of scoring at a lender's desk, not of training.")
    ] = False,
    watching: Annotated[
        bool, typer.Option("--watching", help="Of watching a released model, not of training one.")
    ] = False,
) -> None:
    """Print an empty form."""
    from protocol.terms import TRAINING_PURPOSE
    from protocol.uses import SCORING_PURPOSE
    from protocol.watched import WATCHING_PURPOSE

    if scoring and watching:
        raise Malformed("a form is of --scoring or of --watching, not of both")
    form, purpose, words = TEMPLATE, TRAINING_PURPOSE, dict[str, str]()
    if scoring:
        purpose, words = SCORING_PURPOSE, SCORING_FORM
    if watching:
        purpose, words = WATCHING_PURPOSE, WATCHING_FORM
    for training, instead in words.items():
        form = form.replace(training, instead)
    typer.echo(form.replace("PURPOSE", purpose), nl=False)


@app.command(epilog="Example: `tahini assessment show 4f1c22 --home lenders/aspen`")
def show(
    assessment: Annotated[
        str, typer.Argument(help="Its hash, or as much of the beginning as is unique.")
    ],
    home: AnyHome,
    url: Annotated[str | None, typer.Option(help="The registry's URL, with its own home.")] = None,
    as_json: AsJson = False,
) -> None:
    """An assessment as its author signed it."""
    with institution(home, url) as me:
        names = {one["sha256"]: one["id"] for one in list_assessments(me.client)}
        sha256 = whole_hash(assessment, names, "of an assessment at the registry")
        found, token = fetch_assessment(me.client, sha256)
    if as_json:
        say({"sha256": sha256, "token": token, "assessment": found.payload()}, as_json)
    else:
        typer.echo("\n".join(lines_of(found)))


@app.command("list", epilog="Example: `tahini assessment list --home coordinator --json`")
def list_(
    home: AnyHome,
    url: Annotated[str | None, typer.Option(help="The registry's URL, with its own home.")] = None,
    as_json: AsJson = False,
) -> None:
    """Every assessment at the registry, the newest last."""
    with institution(home, url) as me:
        found = list_assessments(me.client)
    if as_json:
        say(found, as_json)
        return
    for one in found:
        until = str(one["valid_until"])[:10]
        typer.echo(f"{one['sha256'][:12]}  {one['id']:<24} until {until}  {one['title']}")
    if not found:
        typer.echo("no impact assessment was recorded yet; see: tahini assessment template")


def lines_of(found: ImpactAssessment) -> list[str]:
    """An assessment for people to read."""
    automated = (
        "decisions by machine alone" if found.automated_decision else "no automated decision"
    )
    lines = [
        f"{found.title} ({found.id}), by {found.author}; approved by {found.approved_by}",
        f"  sha-256      {found.sha256}",
        f"  valid        {found.made_at:%Y-%m-%d} to {found.valid_until:%Y-%m-%d}",
        f"  kept until   {found.keep_until:%Y-%m-%d} at least (PIPL 56)",
        f"  purpose      {found.purpose}",
        f"  what         {found.description}",
        f"  why          {found.necessity}",
        f"  data         {', '.join(found.categories)}; {automated}",
        f"  people       {found.people:,} at most: {', '.join(found.groups)}",
        f"  oversight    {found.oversight}",
    ]
    lines += [
        f"  risk         {risk.what}: likelihood {risk.likelihood}, severity {risk.severity}, "
        f"left {risk.left}; {'; '.join(risk.measures)}"
        for risk in found.risks
    ]
    if found.consulted:
        asked = found.consulted
        lines.append(f"  consulted    {asked.authority}, {asked.at:%Y-%m-%d}: {asked.outcome}")
    return lines
