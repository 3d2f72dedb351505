"""The front door: one ``tahini`` command. Each room brings its own sub-commands, loaded only when asked for."""

from __future__ import annotations

import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click
from click.shell_completion import CompletionItem
from typer.core import TyperGroup
from typer.main import get_command, get_install_completion_arguments

ROOMS = {
    "demo": ("cli.demo", "Run the whole path on this machine: from notice to audited model."),
    "up": ("cli.up", "Start a whole consortium on this machine, or start it again: real processes, real TLS."),
    "down": ("cli.down", "Stop it."),
    "workspaces": ("cli.workspaces", "List and remove what demo and up left behind."),
    "doctor": ("cli.doctor", "Check everything that must be in order, and say what to do."),
    "registry": ("cli.registry", "Run the consent registry."),
    "log": (
        "cli.log cli.log_reading",
        "Serve, append to, read, prove, verify and export an audit log.",
    ),
    "keys": ("cli.keys", "Make, show, rotate, back up and restore keys."),
    "party": ("cli.party", "List, rotate and revoke an institution's keys at the registry."),
    "issuer": ("cli.issuer", "Run an OIDC issuer for development."),
    "coordinator": ("cli.coordinator", "Run the coordinator."),
    "node": ("cli.node", "Run a lender's node."),
    "campaign": ("cli.campaign cli.campaign_lender", "Propose, approve and run campaigns."),
    "model": ("cli.model", "Fetch, verify and read the models of a lender's campaigns."),
    "names": ("cli.names", "Run the naming service, and rotate its keys."),
    "book": ("cli.book", "Have a lender's people named, and renamed when the naming keys change."),
    "borrowers": ("cli.borrowers", "Enrol a lender's borrowers at the registry."),
    "borrower": ("cli.borrower", "Play a borrower of a workspace: read, answer, withdraw, verify receipts."),
    "budget": ("cli.budget", "What campaigns cost a lender's borrowers, and what is left."),
    "privacy": ("cli.privacy", "Attack the installed build with canaries."),
    "consents": ("cli.consents", "Keep a lender's copy of its borrowers' consents in step."),
    "ca": ("cli.ca", "Make a consortium's certificate authority, and certificates."),
    "witness": ("cli.witness", "Run a lender's witness of the consent log."),
}

COMPLETION = ("install_completion", "show_completion")


class FrontDoor(TyperGroup):
    """Lists every room, imports one. To complete a room's name imports none."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """What the shell's locale has no letters for is shown as an escape: it must not end a command half-way."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return super().main(*arguments, **options)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(ROOMS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in ROOMS:
            return None
        first, *others = (get_command(import_module(name).app) for name in ROOMS[cmd_name][0].split())
        first.params = [param for param in first.params if param.name not in COMPLETION]  # the front door's own
        if isinstance(first, click.Group):
            for other in others:
                first.commands.update(other.commands if isinstance(other, click.Group) else {})
        return first

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        rooms = [CompletionItem(name, help=about) for name, (_, about) in ROOMS.items() if name.startswith(incomplete)]
        return [*rooms, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in ROOMS.items()])


@click.command(cls=FrontDoor, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tahini")
def main() -> None:
    """Federated credit models under consent that borrowers control, with a record nobody can rewrite.

    Start with: tahini demo
    """


main.params += get_install_completion_arguments()


if __name__ == "__main__":
    main()
