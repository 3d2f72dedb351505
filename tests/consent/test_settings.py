"""Settings: the file, above it the environment, above both a command's flags; whatever is wrong is named."""

import json

import pytest
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from clients.home import NodeSettings
from consent.serving import RegistryListening
from naming.service import NamesListening
from ops.serving import Listening
from ops.settings import HomeSettings
from protocol.errors import BadSettings


class Some(HomeSettings):
    model_config = SettingsConfigDict(env_prefix="TAHINI_SOME_")
    name: str
    port: int = Field(default=1, ge=1, le=65535)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some.json"


def test_flags_go_before_the_environment_and_that_before_the_file(path, monkeypatch):
    path.write_text(json.dumps({"name": "file", "port": 2}), encoding="utf-8")
    assert Some.read(path) == Some(name="file", port=2)
    monkeypatch.setenv("TAHINI_SOME_PORT", "3")
    assert Some.read(path) == Some(name="file", port=3)
    assert Some.read(path, port=4, name=None) == Some(name="file", port=4)


def test_what_is_made_from_arguments_does_not_look_at_the_environment(monkeypatch):
    """Otherwise a variable of today would be written into a home's file for ever."""
    monkeypatch.setenv("TAHINI_SOME_PORT", "3")
    assert Some(name="a").port == 1


def test_what_a_command_was_told_reaches_every_process_that_it_starts(path, monkeypatch):
    monkeypatch.setenv("TAHINI_SOME_PORT", "3")
    Some.override(port=5, name=None)
    assert Some.read(path, name="a").port == 5
    with pytest.raises(TypeError):
        Some.override(prot=5)


@pytest.mark.parametrize(
    ("content", "port", "said"),
    [
        ("{}", None, "name, in .*some.json or as TAHINI_SOME_NAME, is missing"),
        ('{"name": "a", "prot": 1}', None, "prot, in .*some.json"),
        ('{"name": "a"}', "many", "port, in .* or as TAHINI_SOME_PORT, must be a whole number"),
        ('{"name": "a", "port": 0}', None, "TAHINI_SOME_PORT, must be at least 1"),
        ("[]", None, "is not a file of settings"),
        ("{", None, "is not a file of settings"),
    ],
)
def test_what_is_wrong_is_named_with_the_places_to_look_at(path, monkeypatch, content, port, said):
    path.write_text(content, encoding="utf-8")
    if port is not None:
        monkeypatch.setenv("TAHINI_SOME_PORT", port)
    with pytest.raises(BadSettings, match=said):
        Some.read(path)


def test_who_one_is_and_whom_one_believes_cannot_come_from_elsewhere(path, monkeypatch):
    settings = NodeSettings(lender="aspen", registry_url="https://registry.example", registry_key="k")
    path.write_text(settings.model_dump_json(), encoding="utf-8")
    monkeypatch.setenv("TAHINI_NODE_SUPERLINK", "coordinator.example:9443")
    assert NodeSettings.read(path).superlink == "coordinator.example:9443"
    monkeypatch.setenv("TAHINI_NODE_REGISTRY_KEY", "theirs")
    with pytest.raises(BadSettings, match="TAHINI_NODE_REGISTRY_KEY"):
        NodeSettings.read(path)
    with pytest.raises(TypeError):
        NodeSettings.override(lender="birch")


def test_paths_in_a_file_are_relative_to_its_folder(tmp_path):
    (tmp_path / "serve.json").write_text(
        '{"certificate": "tls/a.crt", "certificate_key": "/keys/a.key"}', encoding="utf-8"
    )
    found = Listening.read(tmp_path / "serve.json")
    assert (found.certificate, str(found.certificate_key)) == (tmp_path / "tls" / "a.crt", "/keys/a.key")


def test_services_have_their_own_variables_and_ports(tmp_path, monkeypatch):
    monkeypatch.setenv("TAHINI_REGISTRY_PORT", "9000")
    assert RegistryListening.read(tmp_path / "serve.json").port == 9000
    assert NamesListening.read(tmp_path / "serve.json").port == 8720


def test_a_certificate_and_its_key_come_together(tmp_path):
    with pytest.raises(BadSettings, match="come together"):
        Listening.read(tmp_path / "serve.json", certificate=tmp_path / "a.crt")
