"""`milepost completion`: what lets a shell complete commands, options and values."""

import click
from click.shell_completion import get_completion_class

from milepost.cli.group import FailedError, example

PROGRAM, VARIABLE = "milepost", "_MILEPOST_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog=example(
        "milepost completion bash >> ~/.bashrc",
        "milepost completion zsh >> ~/.zshrc",
        "milepost completion fish > ~/.config/fish/completions/milepost.fish",
    )
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes `milepost` in SHELL.

    It asks the command itself what may follow, so it need not be made anew after an upgrade.
    """
    known = get_completion_class(shell)
    if known is None:
        msg = f"no completion for {shell}; known are {', '.join(SHELLS)}"
        raise FailedError(msg)
    script = known(ctx.find_root().command, {}, PROGRAM, VARIABLE)
    click.echo(script.source_template % script.source_vars())
