"""``workflow completion``: the script that teaches a shell to complete commands, options, tasks and runs."""

from __future__ import annotations

import click

from workflow.cli.arguments import tell
from workflow.run.exit_code import ExitCode

SHELLS = ("bash", "zsh", "fish")
_WHERE = {
    "bash": 'eval "$(workflow completion bash)"    in ~/.bashrc',
    "zsh": 'eval "$(workflow completion zsh)"    in ~/.zshrc',
    "fish": "workflow completion fish | source    in ~/.config/fish/config.fish",
}


@click.command(epilog="\b\n" + "\n".join(_WHERE.values()))
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> int:
    """Print the script by which SHELL completes what follows ``workflow``.

    One line in the shell's own file does it:
    """
    from click.shell_completion import get_completion_class

    from workflow.cli.main import cli

    made = get_completion_class(shell)
    assert made is not None, shell
    tell(made(cli, {}, "workflow", "_WORKFLOW_COMPLETE").source().strip())
    return ExitCode.SUCCEEDED
