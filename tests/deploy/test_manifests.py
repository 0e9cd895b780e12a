"""k8s/base renders, validates strictly, and its parts fit together."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from shared.settings import Settings

ROOT = Path(__file__).parents[2]
BASE = ROOT / "k8s" / "base"
KUBECTL = shutil.which("kubectl")
DEPLOYMENTS = {"gateway", "conductor", "compiler", "engine", "trainer"}
rendered_only = pytest.mark.skipif(KUBECTL is None, reason="needs kubectl (its Kustomize renders the manifests)")


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    """Rendered where kubectl is there; otherwise the files as they stand, before names and patches."""
    if KUBECTL:
        text = subprocess.run([KUBECTL, "kustomize", str(BASE)], check=True, capture_output=True, text=True).stdout
        return [document for document in yaml.safe_load_all(text) if document]
    kustomization = yaml.safe_load((BASE / "kustomization.yaml").read_text())
    return [d for name in kustomization["resources"] for d in yaml.safe_load_all((BASE / name).read_text()) if d]


def of_kind(manifests: list[dict[str, Any]], *kinds: str) -> dict[str, dict[str, Any]]:
    return {document["metadata"]["name"]: document for document in manifests if document["kind"] in kinds}


def pod(document: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = document["spec"]["template"]["spec"]
    return spec


def test_every_manifest_is_valid(manifests):
    for document in manifests:
        kubernetes_validate.validate(document, "1.37", strict=True)


def test_strictness_is_real(manifests):
    broken = {**of_kind(manifests, "Deployment")["gateway"], "spce": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.37", strict=True)


def test_everything_is_there(manifests):
    assert set(of_kind(manifests, "Deployment")) == DEPLOYMENTS
    assert set(of_kind(manifests, "StatefulSet")) == {"postgres", "redis"}
    assert set(of_kind(manifests, "Service")) == {"gateway", "postgres", "redis"}


def test_selectors_find_their_pods(manifests):
    labels = {
        name: d["spec"]["template"]["metadata"]["labels"] for name, d in of_kind(manifests, "Deployment", "StatefulSet").items()
    }
    for name, document in of_kind(manifests, "Deployment", "StatefulSet").items():
        assert document["spec"]["selector"]["matchLabels"].items() <= labels[name].items()
    for service in of_kind(manifests, "Service").values():
        assert any(service["spec"]["selector"].items() <= found.items() for found in labels.values())
    for document in manifests:
        if document["kind"] == "PodDisruptionBudget":
            assert any(document["spec"]["selector"]["matchLabels"].items() <= found.items() for found in labels.values())


def test_mounts_name_volumes(manifests):
    for document in of_kind(manifests, "Deployment", "StatefulSet").values():
        claims = {claim["metadata"]["name"] for claim in document["spec"].get("volumeClaimTemplates", [])}
        volumes = {volume["name"] for volume in pod(document)["volumes"]} | claims
        assert {mount["name"] for mount in pod(document)["containers"][0]["volumeMounts"]} <= volumes


@rendered_only
def test_pods_have_few_rights(manifests):
    for name, document in of_kind(manifests, "Deployment", "StatefulSet").items():
        rights = pod(document)["containers"][0]["securityContext"]
        assert pod(document)["securityContext"]["runAsNonRoot"], name
        assert not pod(document)["automountServiceAccountToken"], name
        assert rights == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}, (
            name
        )


@rendered_only
def test_settings_are_known_and_defined_before_they_are_used(manifests):
    known = {f"LONGTHOUGHT_{field.upper()}" for field in Settings.model_fields}
    (settings,) = (d for name, d in of_kind(manifests, "ConfigMap").items() if name.startswith("settings-"))
    assert set(settings["data"]) <= known
    for name in DEPLOYMENTS:
        container = pod(of_kind(manifests, "Deployment")[name])["containers"][0]
        assert container["envFrom"][0]["configMapRef"]["name"] == settings["metadata"]["name"]
        seen: list[str] = []
        for variable in container["env"]:
            value = variable.get("value", "")
            assert all(part.split(")")[0] in seen for part in value.split("$(")[1:]), f"{name}: {variable['name']}"
            seen.append(variable["name"])
        assert {variable for variable in seen if variable.startswith("LONGTHOUGHT_")} <= known


@rendered_only
def test_no_secret_is_in_the_repository(manifests):
    secrets = of_kind(manifests, "Secret")
    assert len(secrets) == 2
    assert not any(value for secret in secrets.values() for value in secret.get("data", {}).values())


def test_the_door_stays_open_without_broker_and_conductor(manifests):
    container = pod(of_kind(manifests, "Deployment")["gateway"])["containers"][0]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz?of=ledger"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"


@pytest.mark.parametrize("name", ["engine", "trainer"])
def test_gpu_pods(manifests, name):
    spec = pod(of_kind(manifests, "Deployment")[name])
    container = spec["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}} in spec["volumes"]
    assert "startupProbe" in container
    assert spec["terminationGracePeriodSeconds"] > 120


def test_redis_keeps_what_it_is_told():
    lines = (BASE / "redis.conf").read_text().splitlines()
    assert {"appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction"} <= set(lines)
