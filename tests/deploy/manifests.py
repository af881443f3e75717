"""Holds rendered manifests to the schemas of Kubernetes, its oldest version that they are for and its newest, and of the Prometheus
Operator: no unknown kind or key, no wrong type, nothing missing.

    kubectl kustomize k8s/overlays/example >example.yaml && manifests.py example.yaml
"""

import pathlib
import sys

import yaml
from cloudcoil.models.prometheus_operator import v1 as operator
from kubernetes_validate import utils as kubernetes

OLDEST = "1.29"
OPERATOR = "monitoring.coreos.com/v1"


def of_operator(manifest):
    """The models let unknown keys fall: whatever does not come back is unknown."""
    understood = getattr(operator, manifest["kind"]).model_validate(manifest)
    yield from lost(manifest, understood.model_dump(mode="json", by_alias=True, exclude_unset=True), manifest["kind"])


def lost(told, understood, path):
    if isinstance(told, dict):
        for key, value in told.items():
            if key in understood:
                yield from lost(value, understood[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}: unknown"
    elif isinstance(told, list):
        for place, (one, other) in enumerate(zip(told, understood, strict=True)):
            yield from lost(one, other, f"{path}[{place}]")


def of_kubernetes(manifest):
    for version in (OLDEST, kubernetes.latest_version()):
        kubernetes.validate(manifest, version, strict=True)
    return []


def problems(manifest):
    check = of_operator if manifest["apiVersion"] == OPERATOR else of_kubernetes
    try:
        yield from check(manifest)
    except kubernetes.ValidationError as error:
        yield f"{'.'.join(str(part) for part in error.path)}: {error.message} (Kubernetes {error.version})"
    except (AttributeError, ValueError, kubernetes.SchemaNotFoundError) as error:
        yield str(getattr(error, "message", error))


def check(path):
    manifests = [manifest for manifest in yaml.safe_load_all(path.read_text()) if manifest]
    if not manifests:
        yield f"{path.name}: nothing was rendered"
    for one in manifests:
        yield from (f"{path.name}: {one['kind']} {one['metadata']['name']}: {problem}" for problem in problems(one))


def main():
    found = [problem for path in sys.argv[1:] for problem in check(pathlib.Path(path))]
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
