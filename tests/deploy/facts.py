"""What the files for deploying owe each other: every metric is shown or watched, every panel says what a bad value looks like, every
alert has its page and its tests, nothing is open to the network, and pods keep to Pod Security "restricted"."""

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


def ports_open_to_all():
    for name, service in yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].items():
        yield from (f"docker-compose.yml: {name} opens {port} to the network" for port in service.get("ports", []) if not port.startswith("127.0.0.1:"))


def pods_unrestricted():
    for path in (ROOT / "k8s").rglob("*.yaml"):
        for thing in yaml.safe_load_all(path.read_text()):
            pod = thing["spec"]["template"]["spec"] if thing["kind"] in ("StatefulSet", "Deployment", "Job") else None
            if pod is None:
                continue
            of_pod = pod.get("securityContext", {})
            if not of_pod.get("runAsNonRoot") or of_pod.get("seccompProfile") != {"type": "RuntimeDefault"}:
                yield f"{path.name}: runAsNonRoot and seccompProfile RuntimeDefault are wanted"
            for container in pod["containers"] + pod.get("initContainers", []):
                own = container.get("securityContext", {})
                wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
                yield from (f"{path.name}: {container['name']}: {key} must be {value}" for key, value in wanted.items() if own.get(key) != value)


def main():
    checks = [metrics_unseen, panels_unclear, alerts_unexplained, ports_open_to_all, pods_unrestricted]
    problems = [problem for check in checks for problem in check()]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
