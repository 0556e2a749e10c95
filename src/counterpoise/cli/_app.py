"""The Typer application: commands are declared here and in their own files, logic lives in the rooms below."""

from math import isfinite
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

app = typer.Typer(
    name="counterpoise",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Measure, correct and guard the safety of vision-language models.

Start here:

- `counterpoise run` measures the pocket model, aligns it, measures it again and writes `report.html`

- `counterpoise run my/model --suite core` does the same with your model

- `counterpoise list benchmarks` shows what can be measured on this machine

Every command explains itself: `counterpoise run --help`. A command that was stopped continues when given again.""",
)


def usage_error() -> type[typer.BadParameter]:
    """The base of typer's usage errors, from the click inside typer (recent versions) or the package (older ones)."""
    return next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def version(show: bool) -> None:
    """`--version`."""
    if show:
        from counterpoise import __version__

        typer.echo(f"counterpoise {__version__}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of all commands."""


from . import (  # noqa: E402
    _align,
    _audit,
    _board,
    _compare,
    _data,
    _data_check,
    _doctor,
    _eval,
    _export,
    _guard,
    _judge,
    _list,
    _pocket,
    _report,
    _rewrite,
    _run,
    _safeground,
    _study,
    _tournament,
)

app.command("run")(_run.run)
app.command("eval")(_eval.evaluate)
app.command("align")(_align.align)
app.command("audit")(_audit.audit)
app.command("compare")(_compare.compare)
app.command("report")(_report.report)
app.command("rewrite")(_rewrite.rewrite)
app.command("export")(_export.export)
app.command("safeground")(_safeground.safeground)
app.command("tournament")(_tournament.tournament)
app.command("list")(_list.show)
app.command("doctor")(_doctor.doctor)
_data.app.command("check")(_data_check.check)
app.add_typer(_data.app, name="data")
app.add_typer(_judge.app, name="judge")
app.add_typer(_guard.app, name="guard")
app.add_typer(_board.app, name="board")
app.add_typer(_pocket.app, name="pocket")
app.add_typer(_study.app, name="study")


class FiniteCommand(TyperCommand):
    """A command whose numbers are numbers: "nan" and "inf" are floats to Python, and pass every bound."""

    def invoke(self, ctx: Any) -> Any:
        for name, value in ctx.params.items():
            if isinstance(value, float) and not isfinite(value):
                raise typer.BadParameter(f"{value} is not a number.", ctx=ctx, param_hint=f"--{name.replace('_', '-')}")
        return super().invoke(ctx)


def _checked(part: typer.Typer) -> None:
    for command in part.registered_commands:
        command.cls = FiniteCommand
    for group in part.registered_groups:
        if group.typer_instance is not None:
            _checked(group.typer_instance)


_checked(app)
