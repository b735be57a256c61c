"""Variables in the files: a grammar of literals, one scalar each, columns as written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from configuration.project import Project


@pytest.mark.parametrize(
    ("written", "value", "processes"),
    [
        ('<%= ENV.fetch("N", 1) %>', None, 1),
        ('<%= ENV.fetch("N", 1) %>', "4", 4),
        ("<%= ENV.fetch('N', 1) %>", "4", 4),
        ("<%=ENV.fetch('N',1)%>", "4", 4),
        ('<%= ENV.fetch( "N" , "2" ) %>', None, 2),
        ("<%= ENV.fetch('N', '2') %>", None, 2),
        ('<%= ENV["N"] %>', "4", 4),
        ("<%= ENV['N'] %>", " 4 ", 4),
        ("${N:-2}", None, 2),
        ("${N:-2}", "", 2),
        ("${N:-2}", "4", 4),
        ("${N:-'2'}", None, 2),
        ("1${N:-}", "2", 12),
        ("${N:-}${N:-}", "2", 22),
    ],
)
def test_a_variable_is_a_value_as_if_written_there(
    project: Project, written: str, value: str | None, processes: int
) -> None:
    project.environ = {} if value is None else {"N": value}
    project.queue(f"workers:\n  - processes: {written}\n")

    assert project.load().workers[0].processes == processes


@pytest.mark.parametrize(
    ("written", "queues"),
    [
        ('"<%= ENV["Q"] %>"', ("mail", "slow")),
        ("'<%= ENV['Q'] %>'", ("mail", "slow")),
        ('"<%= ENV.fetch("Q", "x") %>, more"', ("mail", "slow", "more")),
        ('[<%= ENV.fetch("Q1", "a, b: c") %>]', ("a, b: c",)),
        ("${Q:-x}", ("mail", "slow")),
        ('[${Q1:-"a # b"}]', ("a # b",)),
        ("|\n      <%= ENV['Q'] %>\n", ("mail", "slow")),
        ('<%= ENV["Q1"] %>', ("*",)),
        ("[<%= ENV.fetch('N', 5) %>]", ("5",)),
    ],
)
def test_quotes_and_commas_of_a_variable_are_none_of_yaml(
    project: Project, written: str, queues: tuple[str, ...]
) -> None:
    if "," in queues[0]:
        project.environ = {"Q": "a,b"}
        project.recurring(f"task: {{class: A, schedule: every hour, args: {written}}}")
        assert project.load().tasks[0].arguments[0] == list(queues)
        return
    project.environ = {"Q": "mail, slow"}
    project.queue(f"workers:\n  - queues: {written}\n")

    assert project.load().workers[0].queues == queues


def test_a_variable_works_inside_a_mapping_on_one_line(project: Project) -> None:
    project.environ = {"N": "4"}
    project.queue('workers: [{processes: <%= ENV.fetch("N", 1) %>, threads: ${T:-2}}]')

    (worker,) = project.load().workers

    assert (worker.processes, worker.threads) == (4, 2)


@pytest.mark.parametrize(
    "value",
    ["2\nthreads: 9", "2, threads: 9", "2}, {threads: 9", "&a 2", "[2]", "{a: b}", "2 # c"],
)
def test_a_variable_can_add_no_keys(project: Project, value: str) -> None:
    project.environ = {"N": value}
    project.queue("workers: [{processes: ${N:-1}}]")

    fault = project.fault()

    assert fault.source == "config/queue.yml:1:23"
    assert fault.hint == "the value comes from N"


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"N": ""}, "set but has no value"),
        ({"N": " "}, "set but has no value"),
        ({}, "not set"),
    ],
)
@pytest.mark.parametrize("written", ['<%= ENV["N"] %>', '"<%= ENV["N"] %>"', "${N:- }"])
def test_a_fault_of_an_empty_value_names_the_variable_and_calls_it_empty(
    project: Project, environ: dict[str, str], reason: str, written: str
) -> None:
    project.environ = environ
    project.queue(f"workers: [{{processes: {written}}}]")

    fault = project.fault()

    expected = f"workers[0].processes must be a whole number from 0 to 64; N is {reason}"
    assert (fault.message, "N" in fault.hint) == (expected, False)


def test_a_fault_of_an_empty_text_names_its_variables_too(project: Project) -> None:
    project.environ = {"A": ""}
    project.queue("database: {schema: ${A:-}${B:-}}")

    message = "database.schema must not be empty; A is set but has no value, B is not set"
    assert project.fault().message == message


def test_the_value_of_a_variable_is_not_searched_for_variables(project: Project) -> None:
    project.environ = {"A": "${B:-x} <%= ENV['B'] %>", "B": "no"}
    project.recurring("task: {class: A, schedule: every hour, args: ${A:-}}")

    assert project.load().tasks[0].arguments == (["${B:-x} <%= ENV['B'] %>"], {})


def test_text_after_a_variable_keeps_its_column(project: Project) -> None:
    project.environ = {"N": "a value that is much longer than what was written"}
    project.queue('workers: [{queues: <%= ENV["N"] %>, threads: 0}]')

    assert project.fault().source == "config/queue.yml:1:46"


@pytest.mark.parametrize(
    "written",
    [
        "<%= 1 + 1 %>",
        "<%= ENV.fetch('N') %>",
        "<%= ENV.fetch('N', 1, 2) %>",
        "<%= ENV.fetch('N', `ls`) %>",
        '<%= ENV.fetch("N", "#{1}") %>',
        "<%= ENV.fetch('N', 1).to_i %>",
        "<%= ENV['N'] || 1 %>",
        "<%= ENV[\"N'] %>",
        "<% ENV['N'] %>",
        "<%# a comment %>",
        "<%= ENV['N'] -%>",
        "<%= ENV[N] %>",
        "<%= ENV['1N'] %>",
        "<%>",
        "<%=",
        "<%%>",
    ],
)
def test_any_other_code_in_the_brackets_of_ruby_is_a_fault(
    project: Project, written: str
) -> None:
    project.queue(f"workers:\n  - processes: {written}\n")

    reported = project.faults()

    assert reported[0].source == "config/queue.yml:2:16"
    assert reported[0].hint.startswith("write <%= ENV.fetch(")


@pytest.mark.parametrize("written", ["${N}", "${N-1}", "${N:?no}", "${N:-${M:-1}}", "${N:-"])
def test_other_expansions_of_a_shell_are_faults(project: Project, written: str) -> None:
    project.queue(f"time_zone: {written}\n")

    assert project.faults()[0].source == "config/queue.yml:1:12"


@pytest.mark.parametrize("written", ["${user.name}", "$N", "${}", "{{N}}", "%{N}", "$(N)"])
def test_text_that_is_no_variable_stays_unchanged(project: Project, written: str) -> None:
    project.recurring(f'task: {{class: A, schedule: every hour, args: "{written}"}}')

    assert project.load().tasks[0].arguments == ([written], {})


def test_comments_are_not_examined(project: Project) -> None:
    project.queue("# <%= system('ls') %> ${N}\ntime_zone: UTC # <% also here\n")

    assert project.load().time_zone == "UTC"


def test_a_variable_can_be_no_key(project: Project) -> None:
    project.queue("${K:-time_zone}: UTC\nworkers: [{}]\n")

    assert project.faults()[0].message == "a variable can't be a key"


def test_a_variable_on_a_line_of_its_own_gets_a_hint_that_it_adds_no_keys(
    project: Project,
) -> None:
    project.environ = {"MORE": "threads: 3"}
    project.queue('time_zone: UTC\n<%= ENV["MORE"] %>\nworkers: [{}]\n')

    assert project.fault().hint == "a variable gives one value; it can't add keys"


def test_a_malformed_variable_that_breaks_the_yaml_is_reported(
    project: Project,
) -> None:
    project.queue("time_zone: UTC\n<%= more %>\nworkers: [{}]\n")

    fault = project.fault()

    assert fault.message == 'the text between "<%" and "%>" is not a variable'
    assert fault.source == "config/queue.yml:2:1"


def test_a_variable_may_be_used_through_an_alias(project: Project) -> None:
    project.environ = {"N": "4"}
    project.queue("workers: [{threads: &n <%= ENV['N'] %>, processes: *n}]")

    (worker,) = project.load().workers

    assert (worker.threads, worker.processes) == (4, 4)


def test_a_file_may_use_the_characters_that_mask_variables(project: Project) -> None:
    project.recurring("task: {class: A, schedule: every hour, args: '\ue000\ue001 ${N:-1}'}")

    assert project.load().tasks[0].arguments == (["\ue000\ue001 1"], {})


def test_bytes_that_are_no_text_are_a_fault(project: Project) -> None:
    project.environ = {"N": "\udcff"}
    project.recurring("task: {class: A, schedule: every hour, args: '${N:-1}'}")

    assert project.fault().message == "a text must consist of Unicode characters"


def test_what_variables_bring_is_bounded(project: Project) -> None:
    project.environ = {"N": "x" * 100_000}
    project.queue("import: [" + "'${N:-}', " * 20 + "]")

    assert project.fault().message == "variables bring more than 1 MiB of text"


@pytest.mark.parametrize("written", ["<%= more() %>", "${N:?}", "a<%= more() %>"])
def test_a_malformed_variable_has_one_fault(project: Project, written: str) -> None:
    project.queue(f"workers: [{{threads: {written}, processes: many}}]")

    first, second = project.faults()

    assert "is not a variable" in first.message
    assert "processes" in second.message
