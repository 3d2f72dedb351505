"""What is made once is made whole, or not at all: after a refusal the corrected command works."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from crypto.errors import KeyFileError
from crypto.keys import new_home
from tahini import main

SLUG = "must be 1 to 63 lower-case letters, digits and hyphens, no hyphen first"
TOO_LONG = "n" * 80


def tahini(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def one_sentence(done):
    assert done.exit_code == 1, done.output
    said = done.stderr.strip()
    assert len(said.splitlines()) == 1 and said.startswith("tahini: "), said
    assert "should" not in said and "Traceback" not in said and "Error" not in said
    return said


@pytest.fixture
def coordinator(tmp_path):
    assert tahini("coordinator", "init", "--home", tmp_path / "office", "--name", "Office").exit_code == 0
    return tmp_path / "office" / "membership.jws"


@pytest.mark.parametrize(
    ("command", "wrong", "right", "says"),
    [
        (("node", "init", "--name", "x"), ("--id", "Aspen Bank"), ("--id", "aspen"), f"--id {SLUG}"),
        (("coordinator", "init", "--name", "x"), ("--id", "The Office"), ("--id", "office"), f"--id {SLUG}"),
        (
            ("log", "init", "--no-quorum", "--origin", "a.example/x"),
            ("--lender", "Aspen Bank"),
            ("--lender", "aspen"),
            f"id {SLUG}",
        ),
        (
            ("log", "init", "--no-quorum", "--lender", "aspen"),
            ("--origin", "a example"),
            ("--origin", "a.example/x"),
            "a example",
        ),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else None,
)
def test_a_refused_init_leaves_nothing_and_the_corrected_one_works(tmp_path, command, wrong, right, says):
    home = tmp_path / "new"
    assert says in one_sentence(tahini(*command, "--home", home, *wrong))
    assert list(tmp_path.iterdir()) == []
    done = tahini(*command, "--home", home, *right)
    assert done.exit_code == 0, done.output
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert home.stat().st_mode & 0o077 == 0
    assert "exists already" in one_sentence(tahini(*command, "--home", home, *right))


def test_a_registry_that_cannot_be_founded_leaves_nothing(tmp_path, coordinator):
    home = tmp_path / "registry"
    asked = ("registry", "init", "--no-quorum", "--home", home, "--name", "sesame", "--origin", "audit.example/log",
             "--max-epsilon", "8", "--member", coordinator)  # fmt: skip
    assert "exactly one auditor" in one_sentence(tahini(*asked))
    assert not home.exists() and len(list(tmp_path.iterdir())) == 1
    coordinator.write_text("not a statement", encoding="utf-8")
    assert str(coordinator) in one_sentence(tahini(*asked))


def test_an_authority_that_cannot_be_made_leaves_nothing(tmp_path):
    folder = tmp_path / "ca"
    assert "1 to 64 characters" in one_sentence(tahini("ca", "init", "--ca", folder, "--name", TOO_LONG))
    assert not folder.exists()
    assert tahini("ca", "init", "--ca", folder, "--name", "sesame").exit_code == 0
    wrong = tahini("ca", "issue", "registry", "--ca", folder, "--to", tmp_path / "tls", "--host", "银行.example")
    assert "no DNS name" in one_sentence(wrong)
    assert not (tmp_path / "tls").exists()


def test_a_home_is_made_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), new_home(tmp_path / "deep" / "home") as made:
        made.mkdir()
        raise RuntimeError
    assert list((tmp_path / "deep").iterdir()) == []
    with new_home(tmp_path / "deep" / "home") as made:
        made.mkdir()
        (made / "file").touch()
        assert not (tmp_path / "deep" / "home").exists()
    assert [path.name for path in (tmp_path / "deep").rglob("*")] == ["home", "file"]
    with pytest.raises(KeyFileError, match="exists already"), new_home(tmp_path / "deep" / "home"):
        pytest.fail("a home was made over another")


def test_an_entry_that_cannot_be_appended_is_named_by_its_line(tmp_path):
    assert tahini("log", "init", "--no-quorum", "--home", tmp_path / "lg", "--origin", "a.example/x").exit_code == 0
    entries = tmp_path / "entries.jsonl"
    lines = ['{"type": "use.read", "to": ["auditor"]}', "", '{"type": "use.read", "count": 1}']
    entries.write_text("\n".join(lines), encoding="utf-8-sig")
    said = one_sentence(tahini("log", "append", "--home", tmp_path / "lg" / "registry", "--entries", entries))
    assert said.startswith(f"tahini: {entries}, line 3: ") and "is not known" in said
