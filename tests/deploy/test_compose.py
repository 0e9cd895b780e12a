"""docker-compose.yml: known settings, told variables, files that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.contracts.stages import Service
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_variables_are_explained():
    """Each variable is in docker/example.env, with no value where it is required."""
    example = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / "docker" / "example.env").read_text(), re.MULTILINE))
    required = set(re.findall(r"\$\{(\w+):\?", TEXT))
    defaulted = set(re.findall(r"\$\{(\w+):-", TEXT))
    assert required == {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "LONGTHOUGHT_API_KEY", "FLOWER_BASIC_AUTH"}
    assert not any(example[name] for name in required)
    assert set(example) <= required | defaulted
    for name, default in re.findall(r"\$\{(\w+):-([^}]*)\}", TEXT):
        assert example.get(name, default) == default


def test_settings_are_known():
    known = {f"LONGTHOUGHT_{field.upper()}" for field in Settings.model_fields}
    for name, service in SERVICES.items():
        ours = {key for key in service.get("environment", {}) if key.startswith("LONGTHOUGHT_")}
        assert ours <= known, name


def test_every_queue_is_served_in_either_profile():
    for profile in ("cpu", "gpu"):
        served: list[str] = []
        for service in SERVICES.values():
            if profile in service.get("profiles", [profile]) and "shared.work.worker" in service["command"]:
                served += service["command"][service["command"].index("--services") + 1].split(",")
        assert sorted(served) == sorted(Service)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_service(name):
    service = SERVICES[name]
    assert "healthcheck" in service
    assert service["restart"] == "unless-stopped"
    if build := service.get("build"):
        assert (ROOT / build["dockerfile"]).is_file()
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
    for volume in service.get("volumes", []):
        assert volume.split(":")[0] in COMPOSE["volumes"]
    for other, condition in service.get("depends_on", {}).items():
        assert other in SERVICES
        assert condition == {"condition": "service_healthy"}
    for port in service.get("ports", []):
        assert port.startswith("${LONGTHOUGHT_LISTEN:-127.0.0.1}:")


def test_modules_that_commands_start_exist():
    for service in SERVICES.values():
        command = service["command"]
        if command[:2] == ["python", "-m"]:
            assert (ROOT / f"{command[2].replace('.', '/')}.py").is_file(), command[2]


def test_redis_keeps_what_it_is_told():
    command = SERVICES["redis"]["command"][-1]
    for option in ("--appendonly yes", "--appendfsync everysec", "--maxmemory-policy noeviction"):
        assert option in command


def test_gateway_is_healthy_before_the_conductor_is():
    """The conductor waits for a healthy gateway: its check must not wait for the conductor."""
    assert SERVICES["conductor"]["depends_on"]["gateway"]
    assert "/readyz?of=ledger'" in SERVICES["gateway"]["healthcheck"]["test"][-1]
