"""What the files for deploying owe each other: every metric is shown or watched, every panel says what a bad value looks like, every
alert has its page and its tests, nothing is open to the network, containers and pods may do no more than they must, and have the time
that a drain takes.

    facts.py          tells what is wrong
    facts.py rules    makes k8s's copy of the rules from those of dashboards/prometheus
"""

import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "dashboards" / "prometheus"
RUNBOOK_PARTS = ["Means", "Look at", "Do", "Never"]
SEVERITIES = {"critical", "warning", "info"}
SCHEMA = 42
K8S_RULES = ROOT / "k8s" / "components" / "monitoring" / "prometheusrule.yaml"
K8S_RULES_HEAD = """# Made of dashboards/prometheus/waitbridge.rules.yml by `tests/deploy/facts.py rules`: change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: waitbridge
  labels: { app.kubernetes.io/name: waitbridge }
spec:
"""
# For the last sync or commit, and the last look at Kafka, after drain_settle and drain_deadline.
GRACE_MARGIN_SECONDS = 10
# Its start writes beside its program.
WRITABLE = {"kafka"}


def dashboards():
    return {path.name: json.loads(path.read_text()) for path in sorted((ROOT / "dashboards").glob("*.json"))}


def rules():
    return [rule for group in yaml.safe_load((PROMETHEUS / "waitbridge.rules.yml").read_text())["groups"] for rule in group["rules"]]


def alerts():
    return [rule for rule in rules() if "alert" in rule]


def sections():
    text = (ROOT / "docs" / "runbook.md").read_text()
    return {title: body for title, body in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.S | re.M)}


def metrics_unseen():
    reference = (ROOT / "docs" / "reference.md").read_text()
    names = set(re.findall(r"^\| `(waitbridge_\w+)` \|", reference, re.M))
    if not names:
        yield "docs/reference.md lists no metric"
    exprs = [rule["expr"] for rule in rules()]
    exprs += [target["expr"] for board in dashboards().values() for panel in board["panels"] for target in panel["targets"]]
    seen = set(re.findall(r"waitbridge_\w+", " ".join(exprs)))
    seen |= {re.sub(r"_(bucket|sum|count)$", "", name) for name in seen}
    yield from (f"{name} is on no panel and in no rule" for name in sorted(names - seen))
    known = names | {name + end for name in names for end in ("_bucket", "_sum", "_count")}
    used = set(re.findall(r"waitbridge_\w+", " ".join(exprs)))
    yield from (f"{name} is no metric of docs/reference.md" for name in sorted(used - known))


def panels_unclear():
    for name, board in dashboards().items():
        if board["schemaVersion"] != SCHEMA or board["editable"]:
            yield f"{name}: schemaVersion {SCHEMA} and editable false are wanted"
        variables = {variable["name"] for variable in board["templating"]["list"]}
        if not {"datasource", "instance"} <= variables:
            yield f"{name}: the variables datasource and instance are wanted"
        for panel in board["panels"]:
            lacks = [key for key in ("title", "description", "targets") if not panel.get(key)]
            lacks += [] if panel["fieldConfig"]["defaults"].get("unit") else ["unit"]
            lacks += [] if panel["datasource"]["uid"] == "$datasource" else ["the datasource variable"]
            yield from (f"{name}: panel {panel.get('title')} has no {key}" for key in lacks)
            if any("vector(0)" in target["expr"] for target in panel["targets"]):
                yield f"{name}: panel {panel['title']} shows 0 where it knows nothing"


def alerts_unexplained():
    pages, tests = sections(), "".join(path.read_text() for path in PROMETHEUS.glob("*.test.yml"))
    for rule in alerts():
        name = rule["alert"]
        if rule["labels"].get("severity") not in SEVERITIES:
            yield f"{name}: severity is none of {sorted(SEVERITIES)}"
        if rule["annotations"].get("runbook_url") != f"docs/runbook.md#{name.lower()}" or name not in pages:
            yield f"{name}: no section of docs/runbook.md, or no link to it"
        yield from (f"docs/runbook.md: {name} does not say: {part}" for part in RUNBOOK_PARTS if f"**{part}**" not in pages.get(name, ""))
        cases = re.findall(rf'alertname="{name}".*exp_samples: (\[\]|\[\{{)', tests)
        if {"[]", "[{"} - set(cases):
            yield f"{name}: no test in which it fires, or none in which it does not"
    yield from (f"docs/runbook.md: {name} is no alert" for name in pages.keys() - {rule["alert"] for rule in alerts()})


def k8s_rules():
    text = (PROMETHEUS / "waitbridge.rules.yml").read_text()
    return K8S_RULES_HEAD + re.sub(r"^(?=.)", "  ", text, flags=re.M)


def rules_that_differ():
    if K8S_RULES.read_text() != k8s_rules():
        yield f"{K8S_RULES.relative_to(ROOT)} is not what dashboards/prometheus has: run tests/deploy/facts.py rules"


def services():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


def manifests():
    """Each with the file it stands in; the settings of kustomize are none."""
    for path in sorted((ROOT / "k8s").rglob("*.yaml")):
        things = yaml.safe_load_all(path.read_text())
        yield from ((path.relative_to(ROOT), thing) for thing in things if thing["kind"] not in ("Kustomization", "Component"))


def ports_open_to_all():
    for name, service in services().items():
        wide = [port for port in service.get("ports", []) if not port.startswith("127.0.0.1:")]
        yield from (f"docker-compose.yml: {name} opens {port} to the network" for port in wide)


def images_not_exact():
    for image in sorted({service["image"] for service in services().values()}):
        if not re.search(r":v?\d+\.\d+\.\d+(-|$)", image):
            yield f"docker-compose.yml: {image} names no exact version"


def containers_too_free():
    for name, service in services().items():
        lacks = [] if service.get("cap_drop") == ["ALL"] else ["cap_drop ALL"]
        lacks += [] if "no-new-privileges:true" in service.get("security_opt", []) else ["no-new-privileges"]
        lacks += [] if service.get("read_only") or name in WRITABLE else ["read_only"]
        yield from (f"docker-compose.yml: {name} has no {lack}" for lack in lacks)


def ends_unawaited():
    """`up --wait` takes the end of a service for a failure, unless another one waits for just that."""
    awaited = set()
    for service in services().values():
        awaited |= {name for name, how in service.get("depends_on", {}).items() if how["condition"] == "service_completed_successfully"}
    for name, service in services().items():
        if (service["restart"] == "no") != (name in awaited):
            yield f'docker-compose.yml: {name} must either end (restart: "no") and be waited for by another service, or neither'


def drain_seconds(key):
    """As the settings say that are deployed, else as it is by default."""
    default = re.search(rf'^\| `{key}` \| `"(\d+)s"`', (ROOT / "docs" / "reference.md").read_text(), re.M)
    deployed = [*(ROOT / "k8s").rglob("*.toml"), ROOT / "docker-compose.yml"]
    said = re.findall(rf'^\s*{key} = "(\d+)s"', "\n".join(path.read_text() for path in deployed), re.M)
    return max(map(int, [default[1], *said]))


def graces():
    for path, thing in manifests():
        if thing["kind"] == "StatefulSet":
            yield f"{path}: terminationGracePeriodSeconds", thing["spec"]["template"]["spec"].get("terminationGracePeriodSeconds")
    for name, service in services().items():
        if service["image"].startswith("waitbridge:") and "command" not in service:
            yield f"docker-compose.yml: {name}: stop_grace_period", int(service.get("stop_grace_period", "10s").rstrip("s"))


def ends_too_early():
    wanted = drain_seconds("drain_settle") + drain_seconds("drain_deadline") + GRACE_MARGIN_SECONDS
    for where, grace in graces():
        if grace != wanted:
            yield f"{where} is {grace}, wanted {wanted}: drain_settle, drain_deadline and {GRACE_MARGIN_SECONDS}"


def labels_pushed_aside():
    """The operator's label `endpoint` would rename ours, and a job of another name is in no rule."""
    for path, thing in manifests():
        if thing["kind"] != "ServiceMonitor":
            continue
        if thing["spec"].get("jobLabel") != "app.kubernetes.io/name":
            yield f"{path}: jobLabel must be app.kubernetes.io/name"
        for endpoint in thing["spec"]["endpoints"]:
            if {"action": "labeldrop", "regex": "endpoint"} not in endpoint.get("relabelings", []):
                yield f"{path}: the label `endpoint` is not dropped"


def pods_unrestricted():
    for path, thing in manifests():
        pod = thing["spec"]["template"]["spec"] if thing["kind"] in ("StatefulSet", "Deployment", "Job") else None
        if pod is None:
            continue
        of_pod = pod.get("securityContext", {})
        if not of_pod.get("runAsNonRoot") or of_pod.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{path}: runAsNonRoot and seccompProfile RuntimeDefault are wanted"
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{path}: automountServiceAccountToken must be false"
        for container in pod["containers"] + pod.get("initContainers", []):
            own = container.get("securityContext", {})
            wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
            yield from (f"{path}: {container['name']}: {key} must be {value}" for key, value in wanted.items() if own.get(key) != value)


CHECKS = [
    metrics_unseen,
    panels_unclear,
    alerts_unexplained,
    rules_that_differ,
    ports_open_to_all,
    images_not_exact,
    containers_too_free,
    ends_unawaited,
    ends_too_early,
    labels_pushed_aside,
    pods_unrestricted,
]


def main():
    if sys.argv[1:] == ["rules"]:
        K8S_RULES.write_text(k8s_rules())
        return 0
    problems = [problem for check in CHECKS for problem in check()]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
