"""``tahini desk settlement|settle``: a loan repaid whole before its end."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli.shared import AsJson, DeskHome, Noun, say
from lending.money import percent, shown

if TYPE_CHECKING:
    from lending.account.early import EarlySettlement

app = Noun("Loans of a desk.", "")
LoanId = Annotated[str, typer.Option("--loan", help="The loan's id.")]


@app.command(epilog="Example: `tahini desk settlement --home desk --loan 9Xq… --on 2026-12-01`")
def settlement(
    home: DeskHome,
    loan: LoanId,
    on: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="On which day, one to come too; today if not."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what repays a whole loan before its end, part by part, if nothing else is booked until
    then. Nothing is booked."""
    from desk.api.settling import settlement_view
    from desk.commands.settle import settlement as told
    from desk.home import opened_desk

    with opened_desk(home) as desk:
        found, _ = told(desk, loan, None if on is None else on.date())
    if as_json:
        say(settlement_view(found), True)
    else:
        _tell(found)


@app.command(
    epilog="Example: `tahini desk settle --home desk --loan 9Xq… --event bank-7731 --amount 505500 "
    "--on 2026-11-28`"
)
def settle(
    home: DeskHome,
    loan: LoanId,
    event: Annotated[str, typer.Option(help="The lender's id of the transfer.")],
    amount: Annotated[int, typer.Option(help="What came, fen.", min=0)],
    on: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Its value date; today if not said."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Book the money that repaid a whole loan before its end. Less than it takes is refused, more
    is held for the borrower; the same event again changes nothing."""
    from desk.commands.repay import Booking, Received
    from desk.commands.settle import settle as booked
    from desk.home import opened_desk

    with opened_desk(home) as desk:
        day = desk.now().date() if on is None else on.date()
        new = booked(desk, loan, Received(event, amount, day), Booking("operator"))
    said = f"loan {loan} is settled" if new else f"{event} was booked before; nothing has changed"
    say({"loan": loan, "event": event, "new": new} if as_json else said, as_json)


def _tell(found: EarlySettlement) -> None:
    typer.echo(f"on {found.on}: {shown(found.to_pay)} repay the loan")
    owed = found.owed
    for name, amount in (
        ("principal", owed.principal),
        ("interest up to that day", owed.interest),
        ("penalty", owed.penalty),
        ("fees", owed.fees),
        ("of others", owed.others),
    ):
        if amount:
            typer.echo(f"  {name}: {shown(amount)}")
    for one in found.charges:
        less = "" if one.amount == one.agreed else f" of {shown(one.agreed)} agreed"
        typer.echo(f"  charged for it, {one.code}: {shown(one.amount)}{less}")
    if found.rebate:
        typer.echo(f"  given back, for the time that is left: -{shown(found.rebate)}")
    if found.held:
        typer.echo(f"  held already: -{shown(found.held)}")
    typer.echo(f"saved beside keeping the plan: {shown(found.saved)}")
    if found.cost is not None:
        cap = "none" if found.cost.cap is None else percent(found.cost.cap)
        yearly = percent(max(found.cost.compound, found.cost.simple))
        typer.echo(f"cost a year of the life that it had: {yearly}, cap {cap}")
    typer.echo(
        f"by {'; '.join(found.sources) or 'no law that is known: nothing is charged for it'}"
    )
