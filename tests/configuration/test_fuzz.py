"""Whatever the files and variables hold: options, or a ConfigurationError with its faults."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st

from configuration.project import SEED
from jobsd.configuration.faults import report
from jobsd.configuration.flags import Flags
from jobsd.configuration.load import load
from jobsd.errors import ConfigurationError

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

HERE = Path(__file__).parent
VALID = [
    SEED,
    (HERE.parents[1] / "config/queue.yml").read_text(),
    (HERE.parents[1] / "config/recurring.yml").read_text(),
    (HERE / "golden/queue.yml").read_text(),
    (HERE / "golden/recurring.yml").read_text(),
    "a: &a {class: A, schedule: '@hourly', args: [*b, 1, {x: ~}]}\nb: {<<: *a, every: 90m}\n",
    "workers: [{queues: ['${Q:-a*}'], max_memory: 1.5GB}]\ndatabase: {url: ${U:-a=b}}\n",
]
PIECES = st.sampled_from(
    [
        "\t",
        "\n",
        "  ",
        ": ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        "&a ",
        "*a",
        "<<: *a",
        "!!str ",
        "'",
        '"',
        "<%",
        "%>",
        "${N:-1}",
        "<%= ENV['N'] %>",
        "|",
        ">",
        "#",
        ",",
        "~",
        "\0",
        "\ufeff",
        "\x85",
        "\u2028",
        "é",
        "\U0001f600",
        "\ue000",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "? ",
        "0x1F",
        ".inf",
        "1e999",
        "9" * 30,
        "*x",
        "*/5 * * * *",
        "2024-01-01",
        "default:\n",
        "\\",
        "`",
        "@",
    ],
)


@st.composite
def edited(draw: DrawFn) -> bytes:
    """Draw a valid file with a few places of it cut out, doubled or replaced."""
    text = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 20)))
        middle = draw(st.one_of(PIECES, st.text(max_size=5), st.just(text[start:end] * 2)))
        text = text[:start] + middle + text[end:]
    return text.encode(errors="surrogatepass")


FILES = st.one_of(edited(), st.binary(max_size=200), st.text(max_size=200).map(str.encode))
VALUES = st.dictionaries(
    st.sampled_from(
        [
            "N",
            "Q",
            "U",
            "JOB_CONCURRENCY",
            "JOBSD_ENV",
            "JOBSD_LOG_LEVEL",
            "JOBSD_LOG_FORMAT",
            "JOBSD_METRICS_BIND",
            "JOBSD_SKIP_RECURRING",
            "DATABASE_URL",
            "JOBSD_CONFIG",
        ],
    ),
    st.one_of(PIECES, st.text(st.characters(codec=None), max_size=10)),
)


@settings(deadline=None)
@given(FILES, FILES, VALUES)
@example(b"a: \xff", b"\xef\xbb\xbf", {})
@example(SEED.encode(), b"t: {class: A, schedule: every hour, time_zone: ''}", {})
@example(SEED.encode(), b"t: {class: A, schedule: every hour, time_zone: ../x}", {})
def test_any_input_loads_or_raises_a_configuration_error(
    queue: bytes, recurring: bytes, environ: dict[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "config").mkdir()
        (root / "config/queue.yml").write_bytes(queue)
        (root / "config/recurring.yml").write_bytes(recurring)
        try:
            reported = "\n".join(load(root, environ, Flags()).warnings)
        except ConfigurationError as error:
            reported = report(error.faults)
            assert "error: " in reported

    reported.encode()


@settings(deadline=None)
@given(
    st.builds(
        Flags,
        **dict.fromkeys(
            [
                "config",
                "recurring",
                "only",
                "queues",
                "pidfile",
                "metrics_bind",
                "log_format",
                "log_level",
                "database_url",
            ],
            st.one_of(st.none(), PIECES, st.text(st.characters(codec=None), max_size=10)),
        ),
    )
)
def test_any_flags_load_or_raise_a_configuration_error(flags: Flags) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            load(Path(folder), {}, flags)
        except ConfigurationError as error:
            report(error.faults).encode()
