"""Files for programs that run containers: Compose, Kubernetes. One container is one tree.

They name an image that has the project in /app: the Dockerfile is the recipe of one.
"""

import json
import sys
from typing import Any

import yaml

from jobsd.configuration.options import TRYING, Options
from jobsd.machine import PROGRAM_VERSION
from jobsd.text import shipped_text

from . import called

IMAGE = "registry.example/app:latest"
PORT = 9394
USER = 10001
"""The user of the image: a number, because Kubernetes can't look up a name."""
STATE = "/var/lib/jobsd"
"""The folder of journals in the image; a volume there lets them outlive the container."""
STOP_BESIDE_S = 5
"""The duration of an end, in addition to the drain."""


def dockerfile(options: Options) -> str:
    """Return the recipe of an image with the project, its requirements, and jobsd."""
    text = shipped_text("daemon/generate/templates/Dockerfile.template")
    words = {
        "IMAGE": IMAGE,
        "PYTHON": f"{sys.version_info.major}.{sys.version_info.minor}",
        "INSTALL": _installation(options),
        "USER": str(USER),
        "ENVIRONMENT": _environment(options)["JOBSD_ENV"],
        "PORT": str(PORT),
        "COMMAND": json.dumps([*called.in_image(options), "start"]),
    }
    for name, word in words.items():
        text = text.replace(f"@{name}@", word)
    return text


def _installation(options: Options) -> str:
    """Return the step that installs the requirements: before the code, which changes more."""
    pip = "RUN pip install --no-cache-dir --find-links"
    if (options.root / "requirements.txt").is_file():
        copied = "COPY requirements.txt wheel[s] /opt/build/"
        return f"{copied}\n{pip} /opt/build -r /opt/build/requirements.txt 'jobsd[binary]'"
    if (options.root / "pyproject.toml").is_file():
        return f"COPY . /app\n{pip} wheels /app 'jobsd[binary]'"
    return f"COPY . /app\n{pip} wheels 'jobsd[binary]=={PROGRAM_VERSION}'"


def compose(options: Options) -> str:
    """Return a compose.yaml: the migration, and the daemon once that has ended well."""
    common = {"image": IMAGE, "environment": {**_environment(options), **_FROM_OUTSIDE}}
    daemon = {
        **common,
        "command": [*called.in_image(options), "start"],
        "depends_on": {"migrate": {"condition": "service_completed_successfully"}},
        "restart": "unless-stopped",
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108 - a path in the container
        "volumes": [f"state:{STATE}"],
        "stop_grace_period": f"{_stop_s(options)}s",
    }
    words = [*called.in_image(options), "db", "migrate"]
    migrate = {**common, "command": words, "restart": "on-failure"}
    return _dumped({"services": {"migrate": migrate, "jobs": daemon}, "volumes": {"state": {}}})


_FROM_OUTSIDE = {"DATABASE_URL": "${DATABASE_URL:?the URL of the database}"}


def kubernetes(options: Options) -> str:
    """Return manifests: a Job that migrates, and Deployments of the daemon with its probes.

    One for each entry of `workers`, so that each is scaled by itself, and one for dispatchers
    and scheduler; a project with one entry is one tree.
    """
    groups = range(1, len(options.workers) + 1)
    if len(groups) < 2:
        deployments = [_deployment(options, "jobsd")]
    else:
        alone = ("--only", "worker", "--worker-group")
        deployments = [
            _deployment(options, f"jobsd-worker-{place}", *alone, str(place))
            for place in groups
        ]
    if len(groups) > 1 and (options.dispatchers or options.schedules):
        others = _deployment(options, "jobsd", "--only", "dispatcher,scheduler")
        deployments.insert(0, others)
    return "---\n".join(map(_dumped, (_migration(options), *deployments)))


def _migration(options: Options) -> dict[str, Any]:
    pod = {"restartPolicy": "OnFailure", "containers": [_container(options, "db", "migrate")]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "jobsd-migrate", "labels": _LABELS},
        "spec": {"backoffLimit": 10, "template": {"spec": {**_POD, **pod}}},
    }


def _deployment(options: Options, name: str, *flags: str) -> dict[str, Any]:
    container = {
        **_container(options, "start", *flags),
        "ports": [{"name": "http", "containerPort": PORT}],
        # Only faults that a restart mends: it would not bring back a database.
        "livenessProbe": {**_probe("/livez"), "failureThreshold": 3},
        "readinessProbe": _probe("/readyz"),
        "startupProbe": {**_probe("/livez"), "failureThreshold": 30},
    }
    pod = {"terminationGracePeriodSeconds": _stop_s(options), "containers": [container]}
    labels = {**_LABELS, "app.kubernetes.io/component": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {**_POD, **pod}},
        },
    }


_LABELS = {"app.kubernetes.io/name": "jobsd"}
_POD: dict[str, Any] = {
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "state", "emptyDir": {}}],
}


def _container(options: Options, *arguments: str) -> dict[str, Any]:
    secret = {"secretKeyRef": {"name": "jobsd", "key": "database-url"}}
    plain = [{"name": name, "value": value} for name, value in _environment(options).items()]
    return {
        "name": "jobsd",
        "image": IMAGE,
        "args": [*called.in_image(options), *arguments],
        "env": [*plain, {"name": "DATABASE_URL", "valueFrom": secret}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - as above
            {"name": "state", "mountPath": STATE},
        ],
    }


def _probe(path: str) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": 10,
        "timeoutSeconds": 3,
    }


def _environment(options: Options) -> dict[str, str]:
    environment = options.environment
    if environment in TRYING:
        environment = "production"
    return {
        "JOBSD_ENV": environment,
        "JOBSD_EMBEDDED": "0",
        "JOBSD_METRICS_BIND": f"0.0.0.0:{PORT}",
        "STATE_DIRECTORY": STATE,
    }


def _stop_s(options: Options) -> int:
    return round(options.supervisor.shutdown_timeout_s) + STOP_BESIDE_S


def _dumped(document: dict[str, Any]) -> str:
    written: str = yaml.dump(  # pyright: ignore[reportUnknownMemberType]
        document, Dumper=_Plain, sort_keys=False
    )
    return written


class _Plain(yaml.SafeDumper):
    """Writes repeated values in full: people read it, and not every parser supports aliases."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True
