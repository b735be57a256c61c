"""`help TOPIC`: what is true of all commands. `help COMMAND` is `COMMAND -h`."""

import click

from jobsd.daemon.cli.topics import TOPICS


@click.command()
@click.argument("topic", type=click.Choice(list(TOPICS)))
@click.pass_context
def command(context: click.Context, topic: str) -> None:
    """Print what is true of all commands."""
    formatter = context.make_formatter()
    TOPICS[topic](context, formatter)
    click.echo(formatter.getvalue(), nl=False)
