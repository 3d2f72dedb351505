"""``tahini watch propose`` and ``tahini watch report``: a released model watched by all lenders
together."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cli.shared import AsJson, CoordinatorHome, Noun, say
from cli.watch_kept import KeptFigures, of_model, released_figures
from protocol.errors import ConsentError
from protocol.periods import period_name

if TYPE_CHECKING:
    from watching.causes import Alarm
    from watching.readings import WatchReport

app = Noun("Watch a released model together.")
DAY = ["%Y-%m-%d", "%Y-%m"]


@app.command(
    epilog="Examples: `tahini watch propose 4f1c22 --home coordinator --month 2026-11` · `tahini "
    "watch propose 4f1c22 --home coordinator --kind outcomes --since 2026-01-01 --until "
    "2026-04-01 --mu 0.1`"
)
def propose(
    model: Annotated[
        str, typer.Argument(help="Hash of the campaign that released the model; its beginning.")
    ],
    home: CoordinatorHome,
    kind: Annotated[
        str,
        typer.Option(
            help="intake: everybody who applied. outcomes: everybody whose outcome is known."
        ),
    ] = "intake",
    month: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m"], help="The month that is counted.")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=DAY, help="Instead: the first day.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=DAY, help="And the day after the last.")
    ] = None,
    mu: Annotated[
        float, typer.Option(help="One over the noise multiplier of one attempt.", min=0)
    ] = 0.05,
    name: Annotated[str | None, typer.Option("--id", help="The campaign's id.")] = None,
    title: Annotated[str | None, typer.Option(help="What it is for, in words.")] = None,
    collusion_bound: Annotated[
        int | None, typer.Option(help="Lenders who may collude; a third by default.", min=0)
    ] = None,
    spare_attempts: Annotated[
        int, typer.Option(help="Attempts reserved for dropouts.", min=0, max=100)
    ] = 1,
    hours: Annotated[
        float, typer.Option(help="How long approvals are good for.", min=0.1, max=2160)
    ] = 72.0,
    assessment: Annotated[
        str | None, typer.Option(help="Hash of the impact assessment; the newest that covers it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Have all lenders of a model count, once and under noise, who applied in a period or what
    became of loans; lenders approve it as they do training."""
    from server.errors import BadOption
    from server.folders import campaign_folder
    from server.home import Coordinator
    from server.proposing import propose as proposed
    from server.watching import WatchAsked

    coordinator = Coordinator.open(home)
    first, end = _period(month, since, until)
    if end > date.today():
        raise BadOption(
            "until", "to-come", f"{end} is to come: a period is counted once it is over"
        )
    if kind not in ("intake", "outcomes"):
        raise BadOption("kind", "no-kind", f"is intake or outcomes, not {kind[:40]!r}")
    chosen = {"name": name, "title": title, "collusion_bound": collusion_bound, "hours": hours}
    asked = WatchAsked.of(
        coordinator,
        campaign_folder(coordinator, model).name,
        "intake" if kind == "intake" else "outcomes",
        since=first,
        until=end,
        mu=mu,
        spare_attempts=spare_attempts,
        **chosen,
    )
    campaign = proposed(coordinator, asked, assessment)
    plan = campaign.mechanism
    if as_json:
        say(
            {
                "campaign": campaign.sha256,
                "watched": asked.trained.sha256,
                "since": first.isoformat(),
                "until": end.isoformat(),
                "epsilon": plan.epsilon,
                "delta": plan.delta,
                "noise_multiplier": plan.releases[0].noise_multiplier,
                "spare_attempts": plan.spare_attempts,
            },
            True,
        )
        return
    who = "who applied" if kind == "intake" else "whose outcome is known"
    typer.echo(
        f"proposed {campaign.sha256}\n  everybody {who}, {first} to before {end}, at "
        f"{len(campaign.lenders)} lenders; epsilon {plan.epsilon:.3f} at delta {plan.delta:g} for "
        f"each, {plan.spare_attempts} spare attempts included\n  each lender now runs: tahini "
        f"campaign approve {campaign.sha256[:12]}"
    )


def _period(
    month: datetime | None, since: datetime | None, until: datetime | None
) -> tuple[date, date]:
    """Raises BadOption."""
    from server.errors import BadOption

    if month is not None and since is None and until is None:
        first = month.date()
        if first > date.today():
            raise BadOption("month", "to-come", f"{first:%Y-%m} is to come")
        return first, date(first.year + first.month // 12, first.month % 12 + 1, 1)
    if month is None and since is not None and until is not None:
        return since.date(), until.date()
    raise BadOption("month", "no-period", "is said alone, or both --since and --until are")


@app.command(
    epilog="Examples: `tahini watch report --home coordinator` · `tahini watch report --home "
    "lenders/aspen --model 4f1c22 --html watch.html --language zh` · `… --json`; exit code 3 when "
    "there is an alarm"
)
def report(
    home: Annotated[Path, typer.Option(help="The coordinator's or a node's home.", exists=True)],
    model: Annotated[
        str | None, typer.Option(help="Hash of the campaign that released the model.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write it as one page.")] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="Write the latest figures for Prometheus (*.prom).")
    ] = None,
    language: Annotated[str, typer.Option(help="Of the page and of alarms: en or zh.")] = "en",
    as_json: AsJson = False,
) -> None:
    """What the figures that were released so far say of a model: each period, what moved, and an
    alarm with its cause where something moved twice. A node's home has those that were fetched
    (tahini model fetch)."""
    from crypto.keys import replace_file
    from law.vocabulary import LANGUAGES

    if language not in LANGUAGES:
        raise ConsentError(f"--language is one of {', '.join(LANGUAGES)}")
    released = of_model(released_figures(home), model, home)
    found = _read(released)
    if html is not None:
        from cli.watch_report import page

        replace_file(html, page(found, released[0].card.campaign_title, language).encode())
    if metrics is not None:
        from cli.watch_metrics import metrics as exposed

        replace_file(metrics, exposed(found, released[0].watched.campaign_sha256[:12]))
    if as_json:
        say(_as_data(found), True)
    else:
        _show(found, language)
        for written in filter(None, (html, metrics)):
            typer.echo(f"wrote {written}")
    if found.alarms or found.own:
        raise typer.Exit(3)


def alarmed(
    home: Path, model: str, like: str | None, title: str | None, warm: bool
) -> tuple[str, str | None]:
    """The campaign that the next model is to be like, and a title that names the alarm's causes
    unless one was given. Raises ConsentError: there is no alarm, it is of another campaign than
    ``like``, or a ``warm`` start would go on with what the alarm is about."""
    released = of_model(released_figures(home), model, home)
    trained = released[0].watched.campaign_sha256
    found = _read(released)
    if not found.alarms:
        raise ConsentError(
            f"there is no alarm about the model of campaign {trained[:12]} (its light is "
            f"{found.light.value}); propose without --from-alarm"
        )
    if like is not None and not trained.startswith(like):
        raise ConsentError("--like is another campaign than the one that the alarm is about")
    causes = ", ".join(one.cause.value for one in found.alarms)
    if warm and any(one.cause.value in ("population", "data-fault") for one in found.alarms):
        raise ConsentError(
            f"the alarm's cause is {causes}: a warm start keeps the bins of the people of then, "
            "and is watched beside them, so the alarm would stay; propose without --warm-start"
        )
    return trained, title or f"Trained again after an alarm: {causes}"


def _read(released: list[KeptFigures]) -> WatchReport:
    """With a lender's own counts beside them, where its node kept some."""
    from lending.portfolio.monitoring import PERIODS
    from watching.readings import report as read
    from watching.released import (
        IntakeFigures,
        OutcomeFigures,
        figures_from,
    )

    intake: list[tuple[str, IntakeFigures]] = []
    outcomes: list[tuple[str, OutcomeFigures]] = []
    own: dict[str, list[int]] = {}
    for one in released:
        period, found = period_name(one.watched), figures_from(one.content, one.where)
        if isinstance(found, IntakeFigures):
            intake.append((period, found))
            if one.own is not None:
                own[period] = one.own
        else:
            outcomes.append((period, found))
    apart = []
    for kind in ("intake", "outcomes"):
        days = [one.watched for one in released if one.kind == kind][-PERIODS:]
        if any(before.until != after.since for before, after in pairwise(days)):
            apart.append(kind)
    return read(intake, outcomes, own, apart)


def _as_data(found: WatchReport) -> dict[str, Any]:
    def told(alarms: tuple[Alarm, ...]) -> list[dict[str, Any]]:
        return [
            {"cause": one.cause.value, "where": one.where.value, "sentences": dict(one.sentences)}
            for one in alarms
        ]

    return {
        "light": found.light.value,
        "alarms": told(found.alarms),
        "own": told(found.own),
        "intake": [
            {
                "period": one.period,
                "people": asdict(one.people),
                "score": one.score and asdict(one.score),
                "features": {name: shift and asdict(shift) for name, shift in one.features.items()},
                "approved": [asdict(rate) for rate in one.approved],
                "segments": {name: asdict(people) for name, people in one.segments.items()},
                "moved": [moved.name for moved in one.moved],
            }
            for one in found.intake
        ],
        "outcomes": [
            {
                "period": one.period,
                "people": asdict(one.people),
                "bad": [asdict(rate) for rate in one.bad],
                "evaluation": one.evaluation and one.evaluation.model_dump(mode="json"),
            }
            for one in found.outcomes
        ],
    }


def _show(found: WatchReport, language: str) -> None:
    console = Console()
    if found.intake:
        table = Table(box=None, pad_edge=False)
        for column in ("period", "people", "score", "moved"):
            table.add_column(column, justify="left" if column in ("period", "moved") else "right")
        for one in found.intake:
            said = "too few to say"
            if one.score is not None and one.score.speaks:
                said = f"{max(one.score.psi, 0):.3f} ± {one.score.error:.3f}"
            names = ", ".join(moved.name for moved in one.moved) or "–"
            people = f"{one.people.value:,.0f} ± {one.people.std:,.0f}"
            table.add_row(one.period, people, said, names)
        console.print(table)
    for period in found.outcomes:
        whole = period.whole
        told = "too few to say"
        if whole is not None:
            auc, ratio = whole.auc, whole.observed_to_expected
            told = (
                f"AUC {auc.value:.3f} ± {auc.error:.3f}, observed over expected "
                f"{ratio.value:.2f} ± {ratio.error:.2f}"
            )
        console.print(
            f"outcomes {period.period}: {period.people.value:,.0f} ± {period.people.std:,.0f} "
            f"people, {told}",
            highlight=False,
        )
    console.print(f"light: {found.light.value}", highlight=False)
    for alarm in (*found.alarms, *found.own):
        console.print(f"  {alarm.sentences[language]}", highlight=False)
