"""`counterpoise report`."""

from pathlib import Path
from typing import Annotated

import typer

from ._print import AllScorers


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, or of one evaluation.")],
    out: Annotated[Path | None, typer.Option(help="Where to write the page.  [default: FOLDER/report.html]")] = None,
    all_scorers: AllScorers = False,
) -> None:
    """Write `report.html` again from what a run or an evaluation left, and print its table.

    The page is one file under 8 MB: verdict, scorecard, pictures, dose curve, transcripts with their images, and how
    it was made. Of thousands of transcripts it holds some of each kind and loads the others from a folder beside it.
    It needs no network, works on a phone and prints well.

    Examples:

    - `counterpoise report runs/pocket-core`

    - `counterpoise report evals/base --out base.html`
    """
    from counterpoise.base import InputError, read_json
    from counterpoise.report import EvalFolder, load_curve, write_report

    from ._print import print_rows, run_table, say_report

    record, dose = folder / "run.json", folder / "dose.json"
    facts = read_json(record) if record.is_file() else {}
    if not isinstance(facts, dict):
        raise InputError(f"{record}: is not a JSON object; it must be what the run wrote")
    before, after = folder / "before", folder / "after"
    if before.is_dir() and not (after / "scorecard.json").is_file():
        raise InputError(f"{folder}: this run is not finished; give its counterpoise run command again")
    if before.is_dir():
        curve = load_curve(dose) if dose.is_file() else None
        page = write_report(out or folder / "report.html", EvalFolder(before), EvalFolder(after), curve, facts)
        run_table(folder, facts, all_scorers=all_scorers)
    else:
        single = EvalFolder(folder)
        page = write_report(out or folder / "report.html", single, None, None, facts)
        print_rows(single.rows, all_scorers=all_scorers)
    say_report(page)
