"""`help TOPIC`: facts about all commands. `help COMMAND` is `COMMAND -h`."""

import click

from jobsd.daemon.cli.topics import TOPICS


@click.command()
@click.argument("topic", type=click.Choice(list(TOPICS)))
@click.pass_context
def command(context: click.Context, topic: str) -> None:
    """Print facts about all commands."""
    formatter = context.make_formatter()
    TOPICS[topic](context, formatter)
    click.echo(formatter.getvalue(), nl=False)
