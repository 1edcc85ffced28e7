"""What is deployed names what there is: options, metrics, services, ports, secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from prometheus_client.metrics import MetricWrapperBase
from traitlets.config import Config

from santajupyter.server import metrics
from santajupyter.server.extension import SantaApp

DEPLOY = Path(__file__).parents[1] / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
TEXTS = {str(path.relative_to(DEPLOY)): path.read_text("utf-8") for path in FILES}
DOCUMENTS = {
    name: [*yaml.safe_load_all(text)]
    for name, text in TEXTS.items()
    if name.endswith((".yaml", ".yml", ".json"))
}
SUFFIXES: dict[str | None, list[str]] = {
    "counter": ["_total"],
    "histogram": ["_bucket", "_sum", "_count"],
    "gauge": [""],
}
# What vLLM 0.32.0 says at /metrics.
VLLM = {
    "vllm:time_to_first_token_seconds_bucket",
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:prefix_cache_hits_total",
    "vllm:prefix_cache_queries_total",
    "vllm:generation_tokens_total",
    "vllm:kv_cache_usage_perc",
}


def test_every_option_exists_and_takes_its_value() -> None:
    traits = SantaApp.class_own_traits(config=True)
    found = re.findall(r"SantaApp\.(\w+)", "\n".join(TEXTS.values()))
    assert len(found) > 15
    assert {*found} <= traits.keys()
    options = config_of_users()
    assert options.keys() <= traits.keys()
    app = SantaApp(config=Config({"SantaApp": options}))
    assert {name: getattr(app, name) for name in options} == options


def test_every_metric_that_is_asked_for_is_told_by_somebody() -> None:
    ours = {
        metric._name + suffix: set(metric._labelnames)
        for metric in vars(metrics).values()
        if isinstance(metric, MetricWrapperBase)
        for suffix in SUFFIXES[metric._type]
    }
    asked = [*dashboard_queries(), *alert_queries(), *scaling_queries()]
    assert len(asked) > 20
    named = re.findall(r"(?:vllm:|santajupyter_)\w+", " ".join(asked))
    assert {*named} - ours.keys() == VLLM
    for query in asked:
        for name, labels in re.findall(r"(santajupyter_\w+)\{(.*?)\}", query):
            assert {*re.findall(r"(\w+)=", labels)} <= ours[name]
        if stages := re.search(r"sum by \(le, (\w+)\) \(rate\((santajupyter_\w+)", query):
            assert stages[1] in ours[stages[2]]


def test_the_dashboard_shows_each_query_in_a_panel_of_its_own_place() -> None:
    board = one("grafana/santajupyter.json")
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len({*places}) == len(places)
    sources = {
        source["uid"] for source in one("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    }
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == sources


def test_manifests_name_what_they_have() -> None:
    for manifest in kubernetes():
        assert manifest["apiVersion"] and manifest["metadata"]["name"], manifest
    deployment, service = kind("Deployment"), kind("Service")
    pod = deployment["spec"]["template"]
    labels, containers = pod["metadata"]["labels"], pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for each in containers for port in each["ports"]}
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        service["spec"]["selector"],
        kind("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        kind("PodMonitor")["spec"]["selector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    assert service["spec"]["ports"][0]["targetPort"] in ports
    assert {end["port"] for end in kind("PodMonitor")["spec"]["podMetricsEndpoints"]} == ports.keys()
    opened = {port["port"] for rule in kind("NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]}
    assert opened == {*ports.values()}
    for container in containers:
        own = {port["name"] for port in container["ports"]}
        probes = [container[name] for name in ("readinessProbe", "livenessProbe")]
        assert {(probe.get("httpGet") or probe["tcpSocket"])["port"] for probe in probes} == own
        volumes = {mount["name"] for mount in container["volumeMounts"]}
        assert volumes <= {volume["name"] for volume in pod["spec"]["volumes"]}
    scaled = kind("ScaledObject")["spec"]
    assert scaled["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert scaled["minReplicaCount"] < scaled["maxReplicaCount"]
    assert all(float(trigger["metadata"]["threshold"]) > 0 for trigger in scaled["triggers"])


def test_users_servers_find_the_service_and_it_finds_its_model() -> None:
    service, vllm, gateway = kind("Service"), container("vllm"), container("santajupyter")
    environment = {each["name"]: each.get("value", "") for each in gateway["env"]}
    options = config_of_users()
    url = urlsplit(options["remote_url"])
    assert url.hostname == service["metadata"]["name"]
    assert url.port == service["spec"]["ports"][0]["port"]
    assert url.path == environment["JUPYTERHUB_SERVICE_PREFIX"] + "santajupyter/v1"
    assert urlsplit(environment["JUPYTERHUB_SERVICE_URL"]).port == gateway["ports"][0]["containerPort"]
    prefix = environment["JUPYTERHUB_SERVICE_PREFIX"]
    assert kind("PodMonitor")["spec"]["podMetricsEndpoints"][1]["path"] == prefix + "metrics"
    assert f"--SantaApp.remote_url=http://127.0.0.1:{vllm['ports'][0]['containerPort']}/v1" in gateway["args"]
    model = options["remote_model"]
    assert model in vllm["command"]
    assert f"--SantaApp.model={model}" in gateway["args"]


def test_scopes_and_secrets_are_those_of_the_hubs_services() -> None:
    values = one("zero-to-jupyterhub/values.yaml")
    hub, pod = values["hub"], kind("Deployment")["spec"]["template"]["metadata"]["labels"]
    for role in hub["loadRoles"].values():
        assert {*role.get("services", [])} <= hub["services"].keys()
    scopes = [*hub["config"]["KubeSpawner"]["server_token_scopes"]]
    scopes += [scope for role in hub["loadRoles"].values() for scope in role["scopes"]]
    named = re.findall(r"service=([\w-]+)", " ".join(scopes))
    assert len(named) == 3
    assert {*named} == {"santajupyter"} <= hub["services"].keys()
    tokens = {f"hub.services.{name}.apiToken" for name in hub["services"]}
    secrets = {(secret["name"], secret["key"]) for secret in references(kubernetes())}
    assert secrets == {("vllm", "api-key"), *(("hub", token) for token in tokens)}
    [egress] = values["singleuser"]["networkPolicy"]["egress"]
    assert egress["to"][0]["podSelector"]["matchLabels"].items() <= pod.items()
    assert egress["ports"][0]["port"] == kind("Service")["spec"]["ports"][0]["port"]


def test_no_secret_stands_in_a_file() -> None:
    for container in kind("Deployment")["spec"]["template"]["spec"]["containers"]:
        for each in container["env"]:
            assert "valueFrom" in each or not re.search("KEY|TOKEN|PASSWORD", each["name"])
    for service in one("compose.yaml")["services"].values():
        for name, value in service.get("environment", {}).items():
            assert value.startswith("${") or not re.search("KEY|TOKEN|PASSWORD", name)


def test_the_composed_services_find_one_another() -> None:
    compose = one("compose.yaml")
    services = compose["services"]
    for service in services.values():
        assert ("image" in service) != ("build" in service)
        assert {*service.get("depends_on", [])} <= services.keys()
        assert {*service.get("secrets", [])} <= compose["secrets"].keys()
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in compose["volumes"]
    assert (DEPLOY / services["jupyter"]["build"]["context"] / "deploy" / "Dockerfile").exists()
    listens = {"vllm": 8000, "jupyter": 8888, "prometheus": 9090}
    assert "--port=8000" in services["vllm"]["command"]
    targets = [target for job in one("prometheus.yml")["scrape_configs"] for target in addresses(job)]
    sources = [
        source["url"] for source in one("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    ]
    remote = [each for each in services["jupyter"]["command"] if "remote_url" in each]
    asked = [urlsplit(f"//{target}") for target in targets]
    asked += [urlsplit(url.partition("=")[2] or url) for url in (*sources, *remote)]
    assert {url.hostname: url.port for url in asked} == listens
    assert set(one("prometheus.yml")["rule_files"]) <= mounted(services["prometheus"])
    assert {
        provider["options"]["path"] + "/santajupyter.json"
        for provider in one("grafana/provisioning/dashboards/santajupyter.yaml")["providers"]
    } <= mounted(services["grafana"])


def one(name: str) -> Any:
    """The file's only document."""
    [document] = DOCUMENTS[name]
    return document


def kubernetes() -> list[Any]:
    return [manifest for name in DOCUMENTS if name.startswith("vllm/") for manifest in DOCUMENTS[name]]


def kind(name: str) -> Any:
    """The only manifest of its kind."""
    [found] = [manifest for manifest in kubernetes() if manifest["kind"] == name]
    return found


def container(name: str) -> Any:
    containers = kind("Deployment")["spec"]["template"]["spec"]["containers"]
    return next(each for each in containers if each["name"] == name)


def config_of_users() -> dict[str, Any]:
    files = one("zero-to-jupyterhub/values.yaml")["singleuser"]["extraFiles"]
    options: dict[str, Any] = files["santajupyter"]["data"]["SantaApp"]
    return options


def references(part: Any) -> Iterator[dict[str, str]]:
    """What of secrets is referred to, anywhere in it."""
    if isinstance(part, list):
        for each in part:
            yield from references(each)
    elif isinstance(part, dict):
        for name, each in part.items():
            if name in ("secretKeyRef", "credentials"):
                yield each
            else:
                yield from references(each)


def dashboard_queries() -> list[str]:
    panels = one("grafana/santajupyter.json")["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def alert_queries() -> list[str]:
    return [rule["expr"] for group in one("alerts.yml")["groups"] for rule in group["rules"]]


def scaling_queries() -> list[str]:
    return [trigger["metadata"]["query"] for trigger in kind("ScaledObject")["spec"]["triggers"]]


def addresses(job: dict[str, Any]) -> list[str]:
    return [target for group in job["static_configs"] for target in group["targets"]]


def mounted(service: dict[str, Any]) -> set[str]:
    return {volume.split(":")[1] for volume in service["volumes"]}
