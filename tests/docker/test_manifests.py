"""Dockerfile, compose file and manifests, without an engine: what they promise, and that they agree with each other."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import yaml

from tahini import NOUNS, FrontDoor

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
OVERLAYS = ("operator", "naming", "lender")
ROLES = ("registry", "names", "witness", "coordinator", "node")
HOME = "/var/lib/tahini"
SECRETIVE = re.compile(r"KEY|SECRET|PASSWORD|PASSWD|TOKEN|CREDENTIAL", re.IGNORECASE)


def script(name: str) -> ModuleType:
    spec = spec_from_file_location(f"docker_{name}", DOCKER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# --- what there is


def instructions() -> dict[str, list[tuple[str, str]]]:
    """The Dockerfile's stages, each with its instructions."""
    text = re.sub(r"^\s*#.*\n", "", (DOCKER / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    stages: dict[str, list[tuple[str, str]]] = {"": []}
    stage = ""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            stage = rest.partition(" AS ")[2]
            stages[stage] = [("FROM", rest.partition(" ")[0])]
        elif word:
            stages[stage].append((word, rest.strip()))
    return stages


STAGES = instructions()
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def said(stage: str, word: str) -> list[str]:
    """What a stage says with an instruction, the stages it is built on first."""
    base = STAGES[stage][0][1]
    inherited = said(base, word) if base in STAGES else []
    return inherited + [rest for found, rest in STAGES[stage] if found == word]


def command_of(stage: str) -> list[str]:
    return list(json.loads(said(stage, "CMD")[-1]))


def health_of(stage: str) -> list[str]:
    return list(json.loads(said(stage, "HEALTHCHECK")[-1].partition(" CMD ")[2]))


def resources(folder: Path) -> Iterator[dict[str, Any]]:
    """Everything that a kustomization takes in."""
    for name in yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]:
        path = folder / name
        if path.is_dir():
            yield from resources(path)
        else:
            yield from (found for found in yaml.safe_load_all(path.read_text(encoding="utf-8")) if found)


MANIFESTS = {overlay: list(resources(DOCKER / "kubernetes/overlays" / overlay)) for overlay in OVERLAYS}
MAKERS = {
    overlay: list(
        yaml.safe_load_all((DOCKER / "kubernetes/overlays" / overlay / "make-homes.yaml").read_text(encoding="utf-8"))
    )
    for overlay in OVERLAYS
}


def of_kind(overlay: str, kind: str) -> dict[str, dict[str, Any]]:
    return {found["metadata"]["name"]: found for found in MANIFESTS[overlay] if found["kind"] == kind}


WORKLOADS = {
    name: (overlay, found["spec"]["template"])
    for overlay in OVERLAYS
    for name, found in of_kind(overlay, "StatefulSet").items()
}
PODS = {name: template["spec"] for name, (_, template) in WORKLOADS.items()} | {
    pod["metadata"]["name"]: pod["spec"] for pods in MAKERS.values() for pod in pods
}


def container(role: str) -> dict[str, Any]:
    (only,) = WORKLOADS[role][1]["spec"]["containers"]
    return dict(only)


def no_secret_in(environment: dict[str, str]) -> None:
    for name, value in environment.items():
        if SECRETIVE.search(name):
            assert name.endswith("_FILE") and value.startswith("/run/secrets/"), f"{name} is in the environment"


# --- images


def test_every_role_is_a_target_that_runs_as_nobody_in_particular_and_says_how_it_is() -> None:
    for role in ROLES:
        assert said(role, "USER") == ["10001:10001"]
        assert said(role, "VOLUME") == [HOME]
        assert "PYTHONDONTWRITEBYTECODE=1" in " ".join(said(role, "ENV"))
        assert health_of(role)[0].startswith("/"), "a health check is a program, not a line for a shell"
        assert json.loads(said(role, "ENTRYPOINT")[-1])[-1] == "/opt/enter.py"
        assert not any("python3 -m venv" in line or "install.sh" in line for line in said(role, "RUN"))
    assert said("node", "COPY")[-1] == said("coordinator", "COPY")[-1], "what they share is one layer"


def test_what_a_role_installs_stands_in_pyproject() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    wanted = script("requirements")
    for role in wanted.ROLES:
        chosen = wanted.requirements(role, declared)
        assert {entry for entry in chosen if not entry.startswith("flwr")} <= set(declared)
    names = " ".join(wanted.requirements("registry", declared))
    assert not re.search(r"torch|flwr|opacus|ray|scikit", names)
    training = wanted.requirements("training", declared)
    assert any(entry.startswith("flwr=") for entry in training), "without its simulation engine, and so without ray"
    with pytest.raises(ValueError, match="does not depend on"):
        wanted.requirements("names", ["numpy>=2"])


@pytest.mark.parametrize("role", ["registry", "names", "witness"])
def test_a_service_imports_nothing_that_its_image_does_not_carry(role: str) -> None:
    """Each module of the role, in a fresh interpreter where the heavy packages cannot be found."""
    smoke = script("smoke")
    too_much = set(smoke.TOO_MUCH[role].split()) - {"pip"}
    code = (
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({sorted(too_much)!r}))\n"
        f"[importlib.import_module(name) for name in {smoke.MODULES[role].split()!r}]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_room_and_nothing_else_reaches_the_build() -> None:
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert allowed[1] == "*"
    found = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"][
        "find"
    ]["include"]
    assert {f"!{room.rstrip('*')}" for room in found} <= set(allowed)
    for line in allowed:
        assert not re.match(r"!(tests|docs|docker$|\.|workspace|.*secrets|.*homes)", line)


# --- what containers start with


def test_secrets_are_copied_into_memory_for_their_owner_alone(tmp_path: Path) -> None:
    enter = script("enter")
    secrets, memory, home = (tmp_path / name for name in ("secrets", "memory", "home"))
    for folder in (secrets, memory, home, secrets / "..data"):
        folder.mkdir()
    (secrets / "registry.key").write_bytes(b"first")
    (secrets / "registry.key").chmod(0o440)
    assert enter.place(secrets, memory, home) == ["registry.key"]
    placed = home / "registry.key"
    assert placed.read_bytes() == b"first" and placed.stat().st_mode & 0o777 == 0o600
    assert placed.is_symlink(), "the key is not on the home's disk"

    (secrets / "registry.key").chmod(0o640)
    (secrets / "registry.key").write_bytes(b"second")
    enter.place(secrets, memory, home)
    assert placed.read_bytes() == b"second", "a new key is in force after a restart"
    assert enter.place(tmp_path / "none", memory, home) == []


def test_a_key_that_is_in_the_home_already_is_not_guessed_about(tmp_path: Path) -> None:
    enter = script("enter")
    for name in ("secrets", "memory", "home"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.key").write_bytes(name.encode())
    with pytest.raises(enter.NotPlaced, match="remove one of them"):
        enter.place(tmp_path / "secrets", tmp_path / "memory", tmp_path / "home")
    assert (tmp_path / "home" / "log.key").read_bytes() == b"home"


# --- compose


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_may_do_nothing_but_its_work(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", service["user"])
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "network_mode", "pid", "ipc", "devices", "env_file"} & set(service)
    assert service["healthcheck"]["test"][0] == "CMD"
    assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
    no_secret_in(service.get("environment", {}))
    for volume in service.get("volumes", []):
        source, target, *how = volume.rsplit(":", 2) if volume.endswith(":ro") else volume.rsplit(":", 1)
        assert "docker.sock" not in source
        assert how == ["ro"] or target in {HOME, "/var/lib/postgresql/data"}


def test_secrets_are_files_and_each_is_used() -> None:
    used = set()
    for service in SERVICES.values():
        for secret in service.get("secrets", []):
            used.add(secret if isinstance(secret, str) else secret["source"])
            if "image" in service and service["image"].startswith("tahini-"):
                assert secret["target"].startswith("/run/secrets/tahini/")
    assert used == set(COMPOSE["secrets"])
    for secret in COMPOSE["secrets"].values():
        assert set(secret) == {"file"} and secret["file"].startswith("${TAHINI_SECRETS:-./secrets}/")


def test_services_of_ours_are_built_from_targets_that_exist() -> None:
    built = set()
    for name, service in SERVICES.items():
        if not service["image"].startswith("tahini-"):
            assert "build" not in service
            continue
        target = service["build"]["target"]
        assert target in STAGES and target in name and service["image"].startswith(f"tahini-{target}:")
        assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).samefile(DOCKER / "Dockerfile")
        assert service["command"][:4] == command_of(target)[:4]
        assert service["healthcheck"]["test"][1:] == health_of(target)
        built.add(target)
    assert built == set(ROLES)


def members(network: str) -> set[str]:
    return {name for name, service in SERVICES.items() if network in service["networks"]}


def test_a_node_reaches_the_proxy_and_nobody_else() -> None:
    nodes = [name for name in SERVICES if name.startswith("node-")]
    assert len(nodes) == 3
    for name in nodes:
        (network,) = SERVICES[name]["networks"]
        assert COMPOSE["networks"][network] == {"internal": True}
        assert members(network) == {name, "proxy"}
        assert "ports" not in SERVICES[name]
    assert members("outside") == {"proxy"}
    assert members("database") == {"postgres", "registry"}
    assert not any(name.startswith("witness") for name in members("services"))
    assert all(found.get("internal") for name, found in COMPOSE["networks"].items() if name != "outside")
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]


def test_the_proxy_speaks_tls_to_the_world_and_passes_the_fleet_port_through() -> None:
    conf = (DOCKER / "proxy" / "nginx.conf").read_text(encoding="utf-8")
    assert not re.search(r"listen (?!8443 ssl|9443|127\.0\.0\.1:)", conf)
    http, _, stream = conf.partition("stream {")
    assert "ssl" not in stream and "coordinator:9443" in stream
    for role in ("registry", "names"):
        command = SERVICES[role]["command"]
        assert f"http://{role}:{command[command.index('--port') + 1]};" in http
    assert {port.rsplit(":", 1)[1] for port in SERVICES["proxy"]["ports"]} == {"8443", "9443"}


# --- Kubernetes


@pytest.mark.parametrize("name", PODS)
def test_a_pod_passes_the_restricted_standard(name: str) -> None:
    pod = PODS[name]
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True and security["runAsUser"] > 0 and security["runAsGroup"] > 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["fsGroupChangePolicy"] == "OnRootMismatch"
    assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    for each in pod["containers"]:
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} == set(each["resources"]["limits"]) == set(each["resources"]["requests"])
        assert "envFrom" not in each and not any("valueFrom" in entry for entry in each.get("env", []))
        no_secret_in({entry["name"]: entry["value"] for entry in each.get("env", [])})
        mounted = {mount["name"]: mount for mount in each["volumeMounts"]}
        for volume in pod["volumes"]:
            kind = set(volume) - {"name"}
            assert kind <= {"persistentVolumeClaim", "secret", "emptyDir"}
            if kind == {"secret"}:
                assert mounted[volume["name"]]["readOnly"] is True
                assert volume["secret"]["defaultMode"] == 0o440


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_has_probes_a_budget_a_policy_and_a_home(name: str) -> None:
    overlay, template = WORKLOADS[name]
    labels = template["metadata"]["labels"]
    found = of_kind(overlay, "StatefulSet")[name]
    assert found["spec"]["replicas"] == 1 and found["spec"]["serviceName"] in of_kind(overlay, "Service")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert {"httpGet", "exec"} & set(container(name)[probe])
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        spec = of_kind(overlay, kind)[name]["spec"]
        selected = (spec.get("selector") or spec.get("podSelector"))["matchLabels"]
        assert selected.items() <= labels.items()
    (claim,) = (v["persistentVolumeClaim"]["claimName"] for v in template["spec"]["volumes"] if len(v) == 2 and
                "persistentVolumeClaim" in v)  # fmt: skip
    assert claim in of_kind(overlay, "PersistentVolumeClaim")
    assert found["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_nothing_is_reachable_that_no_policy_names() -> None:
    for overlay in OVERLAYS:
        default = of_kind(overlay, "NetworkPolicy")["nothing-by-default"]["spec"]
        assert default == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        (space,) = of_kind(overlay, "Namespace").values()
        assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    node = of_kind("lender", "NetworkPolicy")["node"]["spec"]
    assert [p["port"] for rule in node["egress"] for p in rule["ports"]] == [443, 9443]
    assert [p["port"] for rule in node["ingress"] for p in rule["ports"]] == [9465]
    assert of_kind("lender", "NetworkPolicy")["witness"]["spec"]["egress"] == []


def test_the_naming_service_is_in_nobody_elses_cluster() -> None:
    assert set(of_kind("naming", "StatefulSet")) == {"names"}
    assert set(of_kind("operator", "StatefulSet")) == {"postgres", "registry", "coordinator"}
    assert set(of_kind("lender", "StatefulSet")) == {"node", "witness"}


def test_secrets_are_referred_to_and_never_there() -> None:
    for overlay in OVERLAYS:
        assert not of_kind(overlay, "Secret") and not of_kind(overlay, "ConfigMap")
    for role in ROLES:
        (keys,) = (volume["secret"] for volume in PODS[role]["volumes"] if "secret" in volume)
        mounted = {secret["target"].rsplit("/", 1)[1] for secret in service_of(role)["secrets"]}
        assert {item["path"] for item in keys["items"]} == mounted, "compose and manifests give a role the same keys"


def test_images_are_named_by_the_overlays() -> None:
    tags = set()
    for overlay in OVERLAYS:
        folder = DOCKER / "kubernetes/overlays" / overlay
        named = {
            image["name"]: image
            for image in yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))["images"]
        }
        ours = {container(name)["image"] for name in of_kind(overlay, "StatefulSet")} - {container("postgres")["image"]}
        assert set(named) == ours
        for image in named.values():
            tags.add(image["newTag"])
        for pod in MAKERS[overlay]:
            (only,) = pod["spec"]["containers"]
            assert only["image"] in {f"{image['newName']}:{image['newTag']}" for image in named.values()}
            claim = pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
            assert claim in of_kind(overlay, "PersistentVolumeClaim")
    assert len(tags) == 1
    assert container("postgres")["image"] == SERVICES["postgres"]["image"]


# --- ports


def service_of(role: str) -> dict[str, Any]:
    return next(service for name, service in SERVICES.items() if name == role or name.startswith(f"{role}-"))


@pytest.mark.parametrize("role", ROLES)
def test_ports_agree(role: str) -> None:
    exposed = {int(port) for port in said(role, "EXPOSE")[-1].split()}
    overlay, _ = WORKLOADS[role]
    ports = {entry["name"]: entry["containerPort"] for entry in container(role)["ports"]}
    assert set(ports.values()) == exposed
    for service in of_kind(overlay, "Service").values():
        if service["spec"]["selector"]["app.kubernetes.io/name"] == f"tahini-{role}":
            for entry in service["spec"]["ports"]:
                assert ports[entry["targetPort"]] == entry["port"]
    policy = of_kind(overlay, "NetworkPolicy")[role]["spec"]
    assert {entry["port"] for rule in policy["ingress"] for entry in rule["ports"]} == exposed
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        if "httpGet" in container(role)[probe]:
            assert container(role)[probe]["httpGet"]["port"] in ports
        else:
            assert container(role)[probe]["exec"]["command"] == health_of(role)
    for command in (command_of(role), service_of(role)["command"], container(role)["args"]):
        given = {option: int(value) for option, value in itertools.pairwise(command) if option.endswith("port")}
        if "--health-port" in given:  # on loopback, asked from inside
            assert f":{given.pop('--health-port')}/" in health_of(role)[-1]
        assert set(given.values()) <= exposed
        assert role == "coordinator" or not given or set(given.values()) == exposed, "its fleet port is a setting"


# --- commands


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every ``tahini`` command line in an image, the compose file or a manifest, and where it stands."""
    for role in ROLES:
        yield f"Dockerfile {role}", command_of(role)
        yield f"kubernetes {role}", container(role)["args"]
        probes = [health_of(role), service_of(role)["healthcheck"]["test"][1:]]
        probes += [container(role)[probe].get("exec", {}).get("command", [""]) for probe in ("startupProbe",)]
        yield from ((f"health {role}", probe[1:]) for probe in probes if probe[0].endswith("/tahini"))
    for name, service in SERVICES.items():
        if service["image"].startswith("tahini-"):
            yield f"compose {name}", service["command"]


def known(room: str, name: str) -> click.Command | None:
    found = FrontDoor().get_command(click.Context(click.Command("tahini")), room) if room in NOUNS else None
    return found.commands.get(name) if isinstance(found, click.Group) else None


def test_every_command_line_is_one_that_tahini_takes(tmp_path: Path) -> None:
    missing = set()
    for where, line in commands():
        room, name, *arguments = line
        command = known(room, name)
        if command is None:
            missing.add(f"{room} {name}")
            continue
        try:
            command.make_context(name, [str(tmp_path) if argument == HOME else argument for argument in arguments])
        except click.ClickException as error:
            pytest.fail(f"{where}: tahini {' '.join(line)}: {error.format_message()}")
    assert missing == set()
