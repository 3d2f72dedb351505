"""The front door: commands load what they need and no more, and shells can complete them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from typer.main import get_command

from cli.shared import Noun
from crypto.errors import TahiniError
from demo.errors import DemoError
from privacy.errors import PrivacyError
from tahini import ELSEWHERE, NOUNS, ROLES, FrontDoor, main

HEAVY = {"torch", "flwr", "matplotlib", "ray", "sklearn", "opacus", "scipy"}
DATA = {"pandas", "pyarrow", "duckdb"}
SERVICES = {"sqlalchemy", "alembic", "fastapi", "uvicorn"}
LOADED = "import json, sys; from importlib import import_module; [import_module(m) for m in sys.argv[1:]]; "
LOADED += "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
CLI = Path(__file__).parent.parent / "cli"
HELPERS = {
    "__init__", "shared", "campaign_status", "forms", "institution", "legal_form", "pinned", "public_pages", "quality",
    "staff", "staff_leaving", "watch_kept", "watch_metrics", "watch_report",
}  # fmt: skip
"""Files of ``cli`` that are no noun."""
TAHINI = Path(sys.executable).with_name("tahini")


def loaded(code: str, *arguments: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, encoding="utf-8", check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_a_command_loads_no_more_than_it_needs():
    """One interpreter for all: what none of them loads does not come from any."""
    found = loaded(LOADED, *(f"cli.{ELSEWHERE.get(noun, noun)}" for noun in NOUNS))
    assert "cli" in found
    assert not found & (HEAVY | DATA | SERVICES)


def test_a_list_of_commands_loads_no_room():
    assert not loaded(LOADED, "tahini") & {"consent", "clients", "server", "demo", "pydantic", "numpy"}


def test_to_show_a_campaign_no_model_is_loaded(house):
    """The whole command, not only its import: what it calls loads nothing heavy either."""
    house.propose(house.make_campaign())
    campaign = house.campaign.sha256
    folder = house.founded.coordinator_home / "campaigns" / campaign
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "campaign.jws").write_text(house.campaign_token, encoding="utf-8")
    code = (
        "import json, sys, tahini\ntry: tahini.main()\nexcept SystemExit as end: assert not end.code, end\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    home = str(house.founded.coordinator_home)
    found = loaded(code, "campaign", "show", campaign[:12], "--home", home, "--json")
    assert not found & (HEAVY | DATA | SERVICES | {"numpy", "clients", "fleet"})


def every_command(groups: bool = False) -> Iterator[tuple[str, click.Command]]:
    """Every command with the words that run it, below nouns and their groups; or these instead."""

    def below(words: tuple[str, ...], found: click.Command) -> Iterator[tuple[str, click.Command]]:
        if isinstance(found, click.Group) is groups:
            yield " ".join(words), found
        if isinstance(found, click.Group):
            for name, command in found.commands.items():
                yield from below((*words, name), command)

    for noun in NOUNS:
        found = FrontDoor().get_command(click.Context(main), noun)
        assert found is not None, noun
        yield from below(("tahini", noun), found)


def test_every_help_ends_with_an_example_of_its_own_command():
    told = dict(every_command())
    assert len(told) > 60
    for words, command in told.items():
        assert re.match(r"Examples?: `", command.epilog or ""), words
        line = words.replace("tahini borrower", "tahini borrower --as lin", 1)
        assert words in command.epilog or line in command.epilog, words
        said = CliRunner().invoke(main, [*words.split()[1:], "--help"]).output
        assert "Example" in said[said.rindex("╰") :], words


def test_the_help_of_a_noun_and_of_the_front_door_ends_with_an_example_too():
    pages = {"tahini": main, **dict(every_command(groups=True))}
    assert len(pages) > 15
    for words in pages:
        said = CliRunner().invoke(main, [*words.split()[1:], "--help"]).output
        assert "─" not in said[said.rindex("Example") :], words


def test_home_and_json_are_each_declared_once():
    """What every command calls alike is the same option everywhere."""
    declared = {path.stem for path in CLI.glob("*.py") if re.search(r'"--(home|json)"', path.read_text("utf-8"))}
    assert declared == {"shared", "demo", "witness"}  # a file for the figures; several homes
    flags = {
        flag.help for _, found in every_command() for flag in found.params if "--json" in flag.opts and flag.is_flag
    }
    assert flags == {"Print as JSON."}


def test_the_list_of_commands_is_by_role_and_names_each_noun_once():
    said = CliRunner().invoke(main, ["--help"]).output
    assert all(f"\n{role}:\n" in said for role in ROLES)
    assert re.findall(r"^  (\w+) {2,}[A-Z]", said, flags=re.M) == list(NOUNS)
    assert sorted(
        {f"cli.{ELSEWHERE.get(noun, noun)}" for noun in NOUNS}
        | {"cli.campaign_plan", "cli.watch_campaigns"}
        | {"cli.campaign_review", "cli.log_reading", "cli.registry_amend", "cli.registry_retention", "cli.succession"}
        | {"cli.book_retention", "cli.desk_loans", "cli.desk_monitor", "cli.desk_portraits", "cli.desk_upkeep"}
        | {"cli.evidence_packs"}
    ) == (sorted(f"cli.{path.stem}" for path in CLI.glob("*.py") if path.stem not in HELPERS))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PrivacyError("no\n  such thing"), "tahini: no such thing\n"),
        (FileNotFoundError(2, "No such file", "a  b.toml"), "tahini: a  b.toml: No such file\n"),
        (OSError("it is gone"), "tahini: it is gone\n"),
    ],
)
def test_whatever_a_room_refuses_is_one_sentence(error, said):
    app = Noun("Nothing.")

    @app.command()
    def fails() -> None:
        raise error

    done = CliRunner().invoke(get_command(app), ["fails"])
    assert (done.exit_code, done.stderr) == (1, said)


def test_what_a_failure_leaves_behind_is_said_after_the_sentence():
    app = Noun("Nothing.")

    @app.command()
    def fails() -> None:
        error = DemoError("it broke")
        error.add_note("its logs are kept")
        raise error

    assert CliRunner().invoke(get_command(app), ["fails"]).stderr == "tahini: it broke\ntahini: its logs are kept\n"


@pytest.mark.parametrize(
    "room", ["clients", "credit", "crypto", "demo", "fleet", "naming", "privacy", "protocol", "server"]
)
def test_every_room_refuses_below_one_root(room):
    errors = import_module(f"{room}.errors")
    raised = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)]
    assert raised and all(issubclass(one, TahiniError) for one in raised)


def completed(shell: str, line: str) -> str:
    """What a shell's completion script gets from the command for ``line``."""
    asked = {"_TAHINI_COMPLETE": f"complete_{shell}"}
    if shell == "bash":
        asked |= {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    else:
        asked |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = subprocess.run([TAHINI], env={**os.environ, **asked}, capture_output=True, encoding="utf-8", check=True)
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_rooms_commands_and_options_are_completed(shell):
    assert "campaign" in completed(shell, "tahini cam")
    assert "registry" not in completed(shell, "tahini cam")
    assert "propose" in completed(shell, "tahini campaign pro")
    assert "--collusion-bound" in completed(shell, "tahini campaign propose --coll")


def test_bash_itself_completes_after_the_script_was_installed(tmp_path):
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": f"{TAHINI.parent}:{os.environ['PATH']}"}
    install = ["bash", "-c", "tahini --install-completion; true"]
    said = subprocess.run(install, env=environment, capture_output=True, encoding="utf-8", check=True)
    assert "bash completion installed" in said.stdout
    script = (
        "source ~/.bashrc; complete -p tahini > /dev/null || exit 1; COMP_WORDS=(tahini campaign wat); COMP_CWORD=2; "
        '"$(complete -p tahini | sed -E "s/.*-F ([^ ]+).*/\\1/")" tahini wat campaign; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.strip() == "watch"
