"""The ``tahini`` command: nouns by who uses them. A noun is a module of ``cli``, loaded only when
it is asked for."""

from __future__ import annotations

import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click
from click.shell_completion import CompletionItem
from typer.core import TyperGroup
from typer.main import get_command, get_install_completion_arguments

ROLES = {
    "Everything on this machine": {
        "demo": "Run the whole path on this machine: from notice to audited model.",
        "up": (
            "Start a whole consortium on this machine, or start it again: real processes, real TLS."
        ),
        "down": "Stop it.",
        "workspaces": "List and remove what demo and up left behind.",
        "borrower": "Play a borrower of a workspace: read, answer, withdraw, keep receipts.",
    },
    "Everybody": {
        "doctor": "Check everything that must be in order, and say what to do.",
        "receipt": "Verify what a borrower keeps: receipts of consents, proofs of releases.",
        "keys": "Make, show, rotate, back up and restore keys.",
        "party": "List, rotate and revoke an institution's keys at the registry.",
        "ca": "Make a consortium's certificate authority, and certificates.",
        "incident": "Report an incident with people's data to those whom it concerns; rehearse.",
    },
    "Lender": {
        "node": "Run a lender's node.",
        "book": "Have a lender's people named, and renamed when the naming keys change.",
        "borrowers": "Enrol a lender's borrowers at the registry.",
        "consents": "Keep a lender's copy of its borrowers' consents in step.",
        "requests": "Read and answer what a lender's borrowers ask: corrections, objections.",
        "budget": "What campaigns cost a lender's borrowers, and what is left.",
        "model": "Fetch, verify and read the models of a lender's campaigns.",
        "counter": "Make and serve a lender's own front for its borrowers.",
        "desk": "Run a lender's lending service: applications, decisions, loans, review.",
        "office": "Serve the pages of a lender's own staff.",
        "score": "Score applicants by a released model, and say why.",
        "witness": "Run a lender's witness of the consent log.",
        "policy": "Check, compare, try and sign credit policies.",
    },
    "Coordinator and lenders": {
        "campaign": "Propose, approve and run campaigns.",
        "coordinator": "Run the coordinator.",
        "console": "Serve the coordinator's pages.",
        "watch": "Watch a released model: who applies, what becomes of loans, what it costs.",
        "assessment": "Impact assessments: the form, and what was recorded.",
    },
    "Registry operator": {
        "registry": "Run the consent registry.",
        "notice": "Check and publish what borrowers are asked.",
        "portal": "Make and serve the borrower's pages.",
        "issuer": "Run an OIDC issuer for development.",
    },
    "Naming service": {
        "names": "Run the naming service, and rotate its keys.",
    },
    "Auditor": {
        "log": "Serve, append to, read, prove, verify and export an audit log.",
        "evidence": "Sample the people in rosters, and judge whether each had said yes.",
        "audit": "Look at the log in pages; reports of compliance audits, and what was done.",
        "privacy": "Attack the installed build with canaries.",
    },
}
"""Who uses which nouns, and what for."""
NOUNS = {noun: about for nouns in ROLES.values() for noun, about in nouns.items()}
ELSEWHERE = {"down": "up"}
"""Nouns that stand in another's module."""


class FrontDoor(TyperGroup):
    """Lists every noun, imports one. To complete a noun's name imports none."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """What the shell's locale has no letters for is shown as an escape: it must not end a
        command half-way."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return super().main(*arguments, **options)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in NOUNS:
            return None
        found = get_command(import_module(f"cli.{ELSEWHERE.get(cmd_name, cmd_name)}").app)
        return found.commands.get(cmd_name, found) if isinstance(found, click.Group) else found

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        nouns = [
            CompletionItem(noun, help=about)
            for noun, about in NOUNS.items()
            if noun.startswith(incomplete)
        ]
        return [*nouns, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        widest = max(map(len, NOUNS))
        for role, nouns in ROLES.items():
            with formatter.section(role):
                formatter.write_dl([(noun.ljust(widest), about) for noun, about in nouns.items()])


@click.command(
    cls=FrontDoor,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: tahini demo --lenders 5",
)
@click.version_option(package_name="tahini")
def main() -> None:
    """Federated credit models under consent that borrowers control, with a record nobody can
    rewrite.

    Start with: tahini demo
    """


main.params += get_install_completion_arguments()


if __name__ == "__main__":
    main()
