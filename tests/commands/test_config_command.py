"""`config show`: each setting that counts, and where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobsd.configuration.options import SECTIONS, Options
from jobsd.configuration.setting import settings_of
from system.terminal import on_a_terminal

if TYPE_CHECKING:
    from system.commands import Commands

QUEUE_FILE = """\
default:
  import: [shop_jobs]
  workers:
    - {queues: urgent, threads: 5}
    - queues: "*"
  jobs: {clear_finished_jobs_after: 7d}
staging:
  jobs:
    clear_finished_jobs_after: 2d
"""


def test_each_setting_is_shown_with_its_source(run: Commands) -> None:
    run.project.write("config/queue.yml", QUEUE_FILE)
    environ = {"JOBSD_ENV": "staging", "JOBSD_LOG_LEVEL": "debug", "JOBSD_METRICS_BIND": ""}

    rows = [line.split("\t") for line in run("config", "show", **environ).stdout.splitlines()]

    shown = {name: (value, source) for name, value, source in rows}
    assert shown["environment"] == ("staging", "JOBSD_ENV")
    assert shown["logs.level"] == ("debug", "JOBSD_LOG_LEVEL")
    assert shown["import"] == ('["shop_jobs"]', "config/queue.yml:2")
    assert shown["workers[0].threads"] == ("5", "config/queue.yml:4")
    assert shown["workers[1].threads"] == ("3", "default")
    assert shown["workers[1].queues"] == ('["*"]', "config/queue.yml:5")
    assert shown["jobs.clear_finished_jobs_after"] == ("172800.0", "config/queue.yml:9")
    assert shown["monitor.bind"] == ("127.0.0.1:9394", "default")
    assert shown["database.url"][1] == "DATABASE_URL"


def test_a_flag_beats_all(run: Commands) -> None:
    run.project.write("config/queue.yml", "database: {url: 'postgresql://me:hunter22@h/db'}\n")

    of_file = _source(run, "database.url")
    of_flag = _source(run, "database.url", "--database-url", "postgresql://me:hunter22@h/b")

    assert (of_file["source"], of_flag["source"]) == ("config/queue.yml:1", "--database-url")
    assert "hunter22" not in f"{of_file}{of_flag}"


def test_all_settings_are_shown(run: Commands) -> None:
    shown = {row["setting"].replace("[0]", "") for row in run.json("config", "show")}

    rows = {key for _, key, _ in settings_of(Options)}
    for section, options in SECTIONS.items():
        rows |= {f"{section}.{key}" for _, key, _ in settings_of(options)}
    assert shown == rows


def test_faults_end_with_78(run: Commands) -> None:
    run.project.write("config/queue.yml", "wrokers: []\n")

    assert run("config", "show").returncode == 78


def test_durations_read_well_on_a_narrow_terminal(run: Commands) -> None:
    lines = on_a_terminal(run, "config", "show", width=60, height=50)

    [line] = [line for line in lines if line.startswith("jobs.clear_finished_jobs_after")]
    assert line.split()[1] == "1d"
    assert max(map(len, lines)) <= 60


def test_targets_of_queues_read_well_for_people(run: Commands) -> None:
    run.project.write(
        "config/queue.yml", "monitor: {latency_target: {default: 1m, mail: 10s}}\n"
    )

    lines = on_a_terminal(run, "config", "show", width=120, height=60)

    [line] = [line for line in lines if line.startswith("monitor.latency_target")]
    assert "default: 1m, mail: 10s" in line


def test_only_shown_fields_are_columns(run: Commands) -> None:
    refused = run("config", "show", "--columns", "shown")
    chosen = run("config", "show", "--columns", "source,setting", "--header")

    assert (refused.returncode, chosen.stdout.splitlines()[0]) == (2, "source\tsetting")
    assert "the columns are setting, value, source\n" in refused.stderr


def _source(run: Commands, setting: str, *arguments: str) -> dict[str, str]:
    rows = run.json("config", "show", *arguments)
    found: dict[str, str] = next(row for row in rows if row["setting"] == setting)
    return found


def test_modules_that_were_found_are_listed(run: Commands) -> None:
    run.project.write("config/queue.yml", "{}\n")
    run.project.write("app/jobs/mail.py", "import jobsd\n\n@jobsd.job\ndef send(): ...\n")

    checked = run("check")
    row = next(each for each in run.json("config", "show") if each["setting"] == "import")

    assert checked.stdout == "configuration is valid\nimported from app/jobs: app.jobs.mail\n"
    assert (row["value"], row["source"]) == (["app.jobs.mail"], "app/jobs (found)")
    assert run("perform", "app.jobs.mail.send").returncode == 0
