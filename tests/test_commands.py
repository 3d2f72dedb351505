"""The front door: commands load what they need and no more, and shells can complete them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tahini import ROOMS

HEAVY = {"torch", "flwr", "matplotlib", "ray", "sklearn", "opacus", "scipy"}
DATA = {"pandas", "pyarrow", "duckdb"}
READS_ROWS = {"book"}
"""Their work is a lender's rows: they may load what reads them."""
LOADED = "import json, sys; from importlib import import_module; [import_module(m) for m in sys.argv[1:]]; "
LOADED += "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
TAHINI = Path(sys.executable).with_name("tahini")


def loaded(code: str, *arguments: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("room", ROOMS)
def test_a_command_loads_no_more_than_it_needs(room):
    found = loaded(LOADED, *ROOMS[room][0].split())
    assert not found & HEAVY
    assert room in READS_ROWS or not found & DATA


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
    assert not found & (HEAVY | DATA | {"sqlalchemy", "alembic", "fastapi"})


def completed(shell: str, line: str) -> str:
    """What a shell's completion script gets from the command for ``line``."""
    asked = {"_TAHINI_COMPLETE": f"complete_{shell}"}
    if shell == "bash":
        asked |= {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    else:
        asked |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = subprocess.run([TAHINI], env={**os.environ, **asked}, capture_output=True, text=True, check=True)
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
    said = subprocess.run(install, env=environment, capture_output=True, text=True, check=True)
    assert "bash completion installed" in said.stdout
    script = (
        "source ~/.bashrc; complete -p tahini > /dev/null || exit 1; COMP_WORDS=(tahini campaign wat); COMP_CWORD=2; "
        '"$(complete -p tahini | sed -E "s/.*-F ([^ ]+).*/\\1/")" tahini wat campaign; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "watch"
