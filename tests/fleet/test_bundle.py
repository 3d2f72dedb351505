"""Bundles are bytes: hashed, compared, shown to a reviewer, and never executed."""

import io
import zipfile

import pytest
from flwr.cli.config_utils import get_fab_metadata

from fleet.bundle import MAX_BYTES, MAX_FILES, build_bundle, bundle_sha256, changes, files_of
from fleet.code import NODE_ENTRIES, hash_files, holds_installed, installed_code, installed_files, reachable
from fleet.errors import BundleRefused


@pytest.fixture(scope="module")
def bundle():
    return build_bundle()


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_the_bundle_is_the_installed_code_and_always_the_same(bundle):
    files = files_of(bundle)
    assert holds_installed(files)
    assert hash_files(reachable(NODE_ENTRIES, files.get)) == installed_code()
    assert installed_files().items() <= files.items()
    assert bundle_sha256(build_bundle()) == bundle_sha256(bundle)


def test_flower_takes_it_and_finds_both_apps_in_it(bundle):
    assert get_fab_metadata(bundle)[0] == "tahini/tahini"
    project = files_of(bundle)["pyproject.toml"].decode()
    assert 'serverapp = "server.fleet_app:app"' in project
    assert 'clientapp = "clients.app:app"' in project
    assert {"server/fleet_app.py", "clients/app.py"} <= set(files_of(bundle))


@pytest.mark.parametrize(
    "path", ["clients/gate.py", "clients/__init__.py", "privacy/noise.py", "fleet/code.py", "law/cn.toml"]
)
def test_one_byte_anywhere_in_what_a_node_runs_is_other_code(bundle, path):
    files = files_of(bundle)
    assert not holds_installed({**files, path: files[path] + b"\n"})
    assert not holds_installed({**files, path: files[path] + b"\nfrom clients import more", "clients/more.py": b""})
    del files[path]
    assert not holds_installed(files)


@pytest.mark.parametrize("path", ["clients/gate/__init__.py", "clients/errors/GateClosed.py", "crypto.py"])
def test_a_file_that_an_import_would_find_besides_is_other_code_where_it_would_be_found(bundle, path):
    """A package goes before a module, and a module of a name that is imported from another goes with it."""
    files = {**files_of(bundle), path: b""}
    assert holds_installed(files) is (hash_files(reachable(NODE_ENTRIES, files.get)) == installed_code())
    assert holds_installed(files) is (path == "crypto.py"), "a module beside a package of its name is never found"


def test_what_a_node_does_not_run_is_not_in_its_hash(bundle):
    files = files_of(bundle)
    assert holds_installed({**files, "server/app.py": b"raise SystemExit", "evil.pth": b"import os"})


def test_a_bundle_without_a_nodes_code_is_other_code(bundle):
    files = files_of(bundle)
    assert not holds_installed({path: content for path, content in files.items() if path != "clients/app.py"})
    assert not holds_installed({**files, "clients/gate.py": b"def ("})
    assert not holds_installed({})


def test_what_is_no_honest_bundle_is_refused_before_it_fills_the_memory():
    for content in (b"", b"PK", b"\0" * 100):
        with pytest.raises(BundleRefused, match="not a bundle"):
            files_of(content)
    with pytest.raises(BundleRefused, match="larger than any honest"):
        files_of(zipped({f"f{i}.py": b"" for i in range(MAX_FILES + 1)}))
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("f.py", b"\0" * (MAX_BYTES + 1))
    with pytest.raises(BundleRefused, match="larger than any honest"):
        files_of(bomb.getvalue())


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_refused():
    """Whoever reads the first and whoever reads the last would see different code."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("clients/app.py", b"one")
        archive.writestr("clients/app.py", b"two")
    with pytest.raises(BundleRefused, match="two files of one name"):
        files_of(buffer.getvalue())


def test_a_reviewer_sees_every_file_that_is_other():
    before = {"a.py": b"one\n", "b.py": b"same\n", "c.py": b"gone\n", ".info/CONTENT": b"x"}
    after = {"a.py": b"two\n", "b.py": b"same\n", "d.py": b"new\n", ".info/CONTENT": b"y"}
    found = {change.path: change for change in changes(before, after)}
    assert {path: change.kind for path, change in found.items()} == {
        "a.py": "changed",
        "c.py": "removed",
        "d.py": "added",
    }
    assert found["a.py"].diff[-2:] == ("-one", "+two")
    assert changes(after, after) == []
    assert all(change.kind == "added" for change in changes({}, after))
