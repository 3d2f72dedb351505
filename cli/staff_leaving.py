"""Somebody of an institution's staff has left: off the list of those whom its pages let in."""

from __future__ import annotations

from pathlib import Path

import typer

from crypto.keys import replace_file
from protocol.errors import BadSettings


def take_off(home: Path, name: str) -> None:
    """Write the list in ``home`` without them, and say what has changed for those who stay.

    Raises:
        BadSettings: there is no such list, it cannot be read, or they are not on it.
    """
    from screens.house.staff_list import STAFF_FILE, StaffList

    path = home / STAFF_FILE
    if not path.exists():
        raise BadSettings(f"{home} has no {STAFF_FILE}: a code opens its pages, and no list")
    try:
        before = StaffList.read(path)
        after = before.without(name)
    except ValueError as error:
        raise BadSettings(str(error)) from error
    replace_file(path, after.model_dump_json(indent=2).encode() + b"\n")
    typer.echo(f"{name} is off the list, and out; {len(after.people)} may come in")
    roles = {one.name: one.roles for one in before.people}
    for one in after.people:
        for role in sorted(roles[one.name] - one.roles):
            typer.echo(f"{role!r} takes two persons, so {one.name} has it no more: name two for it")
