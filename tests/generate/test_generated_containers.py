"""What `generate` writes for Compose and Kubernetes, judged by their schemas too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from system.commands import Commands

CONTAINED = """
supervisor: {shutdown_timeout: 90s}
workers: [{threads: 3}]
"""


def test_compose_migrates_first_and_gives_a_drain_its_time(run: Commands) -> None:
    run.project.write("config/queue.yml", CONTAINED)

    services = yaml.safe_load(run("generate", "compose").stdout)["services"]

    assert services["migrate"]["command"] == ["jobsd", "db", "migrate"]
    daemon = services["jobs"]
    assert daemon["command"] == ["jobsd", "start"]
    assert daemon["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert daemon["stop_grace_period"] == "95s"
    assert daemon["environment"]["JOBSD_ENV"] == "production"
    assert f"state:{daemon['environment']['STATE_DIRECTORY']}" in daemon["volumes"]


def test_kubernetes_gets_a_migration_and_a_daemon_that_is_asked_and_drained(
    run: Commands,
) -> None:
    run.project.write("config/queue.yml", CONTAINED)

    text = run("generate", "kubernetes").stdout
    job, deployment = yaml.safe_load_all(text)

    assert "&id" not in text, "not every reader knows aliases"
    assert [job["kind"], deployment["kind"]] == ["Job", "Deployment"]
    (migration,) = job["spec"]["template"]["spec"]["containers"]
    assert migration["args"] == ["jobsd", "db", "migrate"]
    pod = deployment["spec"]["template"]["spec"]
    (daemon,) = pod["containers"]
    assert daemon["args"] == ["jobsd", "start"]
    assert pod["terminationGracePeriodSeconds"] == 95
    assert pod["securityContext"]["runAsUser"] == 10001
    paths = {
        each: daemon[f"{each}Probe"]["httpGet"]["path"] for each in ("liveness", "readiness")
    }
    assert paths == {"liveness": "/livez", "readiness": "/readyz"}
    environment = {each["name"]: each.get("value") for each in daemon["env"]}
    assert environment["JOBSD_METRICS_BIND"] == "0.0.0.0:9394"
    # The root file system can't be written, and the journals of a stop must be.
    mounted = {each["mountPath"]: each["name"] for each in daemon["volumeMounts"]}
    assert mounted[environment["STATE_DIRECTORY"]] == "state"
    assert {"name": "state", "emptyDir": {}} in pod["volumes"]
    assert (
        deployment["spec"]["selector"]["matchLabels"]
        == (deployment["spec"]["template"]["metadata"]["labels"])
    )


GROUPS = """
supervisor: {shutdown_timeout: 30s}
dispatchers: [{}]
workers: [{queues: mail, threads: 3}, {queues: "*", threads: 5, processes: 2}]
"""


def test_kubernetes_gets_a_deployment_for_each_group_of_workers(run: Commands) -> None:
    run.project.write("config/queue.yml", GROUPS)

    _, *deployments = yaml.safe_load_all(run("generate", "kubernetes").stdout)

    started = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]["containers"][0]["args"]
        for each in deployments
    }
    assert started == {
        "jobsd": ["jobsd", "start", "--only", "dispatcher,scheduler"],
        "jobsd-worker-1": ["jobsd", "start", "--only", "worker", "--worker-group", "1"],
        "jobsd-worker-2": ["jobsd", "start", "--only", "worker", "--worker-group", "2"],
    }
    selectors = [each["spec"]["selector"]["matchLabels"] for each in deployments]
    assert len({json.dumps(each, sort_keys=True) for each in selectors}) == 3


@pytest.mark.parametrize("configuration", [CONTAINED, GROUPS])
def test_generated_container_files_are_valid_by_public_schemas(
    run: Commands, configuration: str
) -> None:
    run.project.write("config/queue.yml", configuration)
    written = {kind: run("generate", kind).stdout for kind in ("compose", "kubernetes")}
    compose, manifests = run.project.root / "compose.yaml", run.project.root / "jobsd.yaml"
    compose.write_text(written["compose"])
    manifests.write_text(written["kubernetes"])
    judges = [
        ("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(compose)),
        ("kubernetes-validate", "--strict", str(manifests)),
    ]

    for program, *words in judges:
        judge = Path(sys.executable).with_name(program)
        done = subprocess.run([judge, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
