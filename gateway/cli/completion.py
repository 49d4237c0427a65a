"""`gateway completion`: the script that makes a shell complete commands and options."""

from __future__ import annotations

import click

from gateway.cli.options import LocalCommand, Session, examples, pass_session


@click.command(
    cls=LocalCommand,
    epilog=examples(
        'eval "$(gateway completion bash)"                                 in ~/.bashrc',
        'eval "$(gateway completion zsh)"                                  in ~/.zshrc',
        "gateway completion fish > ~/.config/fish/completions/gateway.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@pass_session
@click.pass_context
def completion(context: click.Context, session: Session, shell: str) -> None:
    """Print the completion script of a shell."""
    from click.shell_completion import get_completion_class

    from gateway.cli.output import write

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(context.find_root().command, {}, "gateway", "_GATEWAY_COMPLETE").source()
    write({"shell": shell, "script": script}, as_json=session.as_json, otherwise=lambda: click.echo(script))
