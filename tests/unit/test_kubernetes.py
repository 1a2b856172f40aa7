"""deploy/kubernetes.yaml: what Kubernetes takes, closed as far as the service can bear, and true to the service."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
from flask.testing import FlaskClient
from ruamel.yaml import YAML

from app.serving.options import FAREWELL_S
from app.settings import VARIABLES, Settings
from tests.support.bridge import ROOT
from tests.support.secrets import API_KEY
from tests.support.shipped import Image

Json = dict[str, Any]

RESOURCES: Final[list[Json]] = list(YAML(typ="safe").load_all((ROOT / "deploy" / "kubernetes.yaml").read_text("utf-8")))
BY_NAME: Final = {(it["kind"], it["metadata"]["name"]): it for it in RESOURCES}
NAME: Final = "copilot-bridge"
POD: Final[Json] = BY_NAME["Deployment", NAME]["spec"]["template"]["spec"]
[BRIDGE] = POD["containers"]
SETTINGS: Final[dict[str, str]] = BY_NAME["ConfigMap", NAME]["data"]
ENV: Final = {**Image.read().environment, **SETTINGS, "API_KEY": API_KEY, "GH_COPILOT_TOKEN": "ghu_test_kubernetes"}


@pytest.mark.parametrize("name", BY_NAME, ids="/".join)
def test_resource_has_the_form_of_one(name: tuple[str, str]) -> None:
    kubernetes_validate.validate(BY_NAME[name], "1.37", strict=True)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_pod_can_do_and_write_no_more_than_it_needs(kind: str) -> None:
    [pod] = [it["spec"]["template"]["spec"] for it in RESOURCES if it["kind"] == kind]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_pod_runs_as_the_user_of_the_image_and_can_write_where_the_service_does() -> None:
    settings = Settings.from_env(ENV)
    assert POD["securityContext"]["runAsUser"] == POD["securityContext"]["fsGroup"] == Image.read().uid
    assert {Path(mount["mountPath"]) for mount in BRIDGE["volumeMounts"]} == {settings.data_dir, Path("/tmp")}
    assert {it["name"] for it in POD["volumes"]} == {mount["name"] for mount in BRIDGE["volumeMounts"]}


def test_every_setting_is_one_and_what_must_be_secret_comes_from_the_secret() -> None:
    assert SETTINGS.keys() <= VARIABLES
    assert {"API_KEY", "GH_COPILOT_TOKEN"}.isdisjoint(SETTINGS)
    assert BRIDGE["envFrom"] == [{"configMapRef": {"name": NAME}}, {"secretRef": {"name": NAME}}]
    settings = Settings.from_env(ENV)
    assert settings.trusted_proxies == 1
    assert settings.redis_url is not None
    redis = BY_NAME["Service", "copilot-bridge-redis"]
    address = f"redis://{redis['metadata']['name']}:{redis['spec']['ports'][0]['port']}/0"
    assert settings.redis_url.reveal() == address


def test_traffic_reaches_the_port_that_the_service_listens_on() -> None:
    settings = Settings.from_env(ENV)
    assert settings.host == "0.0.0.0"
    assert BRIDGE["ports"] == [{"name": "http", "containerPort": settings.port}]
    assert [it["targetPort"] for it in BY_NAME["Service", NAME]["spec"]["ports"]] == ["http"]
    labels = BY_NAME["Deployment", NAME]["spec"]["template"]["metadata"]["labels"]
    assert BY_NAME["Service", NAME]["spec"]["selector"] == labels
    [rule] = BY_NAME["Ingress", NAME]["spec"]["rules"]
    [path] = rule["http"]["paths"]
    assert path["backend"]["service"] == {"name": NAME, "port": {"name": "http"}}


def test_probes_ask_what_answers(client: FlaskClient) -> None:
    paths = {name: BRIDGE[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {it["port"] for it in paths.values()} == {"http"}
    # Without a key, and before anybody is signed in: the process is alive, and not ready.
    told = {name: client.get(it["path"]).status_code for name, it in paths.items()}
    assert told == {"startup": 200, "liveness": 200, "readiness": 503}


def test_a_stop_is_granted_the_grace_and_the_farewell() -> None:
    settings = Settings.from_env(ENV)
    until_nobody_comes = int(BRIDGE["lifecycle"]["preStop"]["exec"]["command"][1])
    needed = until_nobody_comes + settings.graceful_timeout_s + FAREWELL_S
    assert POD["terminationGracePeriodSeconds"] > needed


def test_an_update_or_a_drained_node_leaves_one_that_serves() -> None:
    deployment = BY_NAME["Deployment", NAME]["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert BY_NAME["PodDisruptionBudget", NAME]["spec"]["minAvailable"] == 1


def test_ingress_holds_no_stream_back_and_takes_the_bodies_that_the_bridge_takes() -> None:
    settings = Settings.from_env(ENV)
    told = {
        name.removeprefix("nginx.ingress.kubernetes.io/"): value
        for name, value in BY_NAME["Ingress", NAME]["metadata"]["annotations"].items()
    }
    assert told["proxy-buffering"] == "off"
    assert int(told["proxy-read-timeout"]) > settings.upstream_idle_timeout_s
    assert told["proxy-body-size"] == f"{settings.max_body_bytes // 2**20}m"
