"""The command line: combines the commands, one file each in commands/, and turns errors into sentences and exit codes.

Nothing heavy is imported before a command needs it: `srpipe --help` loads neither torch nor Ray nor pyarrow.
"""

import os
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer._click.exceptions import NoArgsIsHelpError
from typer.core import TyperGroup
from typer.exceptions import TyperException

from pipeline.config import VERSION
from pipeline.errors import LostLockError, UsageError

from . import encoding, json_log, spec, stopping
from .answers import EXIT_FATAL, EXIT_USAGE, RESUME, RESUMING, WITHOUT_A_READER, print_result, tell, tell_reason
from .command_line import Command, given, place_of_help, sentence
from .commands.compare import compare
from .commands.demo import demo
from .commands.evaluate import evaluate
from .commands.kernel import kernel
from .commands.methods import methods
from .commands.plan import plan
from .commands.prior import prior
from .commands.report import report
from .commands.retry import retry
from .commands.run import run
from .commands.submit import submit
from .commands.watch import watch

_TYPER_INTERRUPTED = 130
"""What Typer returns after a KeyboardInterrupt."""


class _Program(TyperGroup):
    """Lists the commands in plain text: importing the library for panels would take as long as everything else."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options | {"rich_markup_mode": None})


app = typer.Typer(
    name="srpipe",
    cls=_Program,
    help="Upscale image collections: undo what each image's camera did, and hold every result to its input.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command("run", cls=spec.JobCommand)(run)
app.command("plan", cls=spec.JobCommand)(plan)
app.command("watch", cls=Command)(watch)
app.command("retry", cls=Command)(retry)
app.command("submit", cls=Command)(submit)
app.command("eval", cls=Command)(evaluate)
app.command("report", cls=Command)(report)
app.command("compare", cls=Command)(compare)
app.command("prior", cls=Command)(prior)
app.command("kernel", cls=Command)(kernel)
app.command("methods", cls=Command)(methods)
app.command("demo", cls=Command)(demo)


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        print_result(f"srpipe {VERSION}")
        context.exit()


def main() -> NoReturn:
    """Run `srpipe`, and exit with one of `answers.EXIT_CODES`."""
    _open_standard_streams()
    encoding.use_utf8()
    stopping.install()
    try:
        code = app(prog_name="srpipe", standalone_mode=False)
        if code == _TYPER_INTERRUPTED:
            stopping.check()
    except BaseException as error:  # noqa: BLE001 - unknown errors are raised again
        asked = stopping.asked()  # the exception of a signal may arrive as another one: Ray wraps it
        if asked:
            again = RESUME if given() in RESUMING else "run the same command to begin anew"
            tell_reason(f"stopped; {stopping.advice() or again}")
        code = asked.exit_code if asked else _exit_code_of(error)
    json_log.end()
    sys.exit(code if _is_printed() else EXIT_FATAL)


def _open_standard_streams() -> None:
    """Open /dev/null for closed standard streams: otherwise the next files opened would take their place."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - stays open while the process lives


def _is_printed() -> bool:
    """Return whether the result is where it was asked for, or nobody wants it any more.

    The rest of a stream that takes no more goes to /dev/null: otherwise Python would exit with 120.
    """
    is_printed = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
            if stream is sys.stdout and error.errno not in WITHOUT_A_READER:
                tell_reason(f"the result cannot be printed: {error.strerror}; give the same command again")
                is_printed = False
    return is_printed


def _exit_code_of(error: BaseException) -> int:
    """Report an error that users can act on in one sentence; raise others."""
    if isinstance(error, UsageError):
        return _end(str(error), EXIT_USAGE)
    if isinstance(error, NoArgsIsHelpError):
        for line in error.message.splitlines():
            tell(line)
        return EXIT_USAGE
    if isinstance(error, TyperException):
        return _end(f"{spec.origin(error)}{sentence(error)}; see {place_of_help(error)} --help", EXIT_USAGE)
    if isinstance(error, LostLockError):
        return _end(str(error), EXIT_FATAL)
    if isinstance(error, OSError):
        from pipeline import storage

        return _end(f"{storage.place_and_reason(error)}; nothing that is committed is lost, run again", EXIT_FATAL)
    raise error


def _end(sentence: str, code: int) -> int:
    tell_reason(sentence)
    return code


if __name__ == "__main__":
    main()
