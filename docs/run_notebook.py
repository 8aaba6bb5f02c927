"""`make notebook`: runs docs/notebook.ipynb and writes what its cells show into it, as Jupyter would, without Jupyter.

A test runs it, too. That is why there is no kernel here: nbclient would bring forty packages for what is a loop over
cells in one namespace.
"""

import ast
import base64
import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "notebook.ipynb"


def read(path: Path = PAGE) -> Any:
    """A notebook as the dict that it is in its file."""
    return json.loads(path.read_text(encoding="utf-8"))


def run(notebook: Any) -> None:
    """Run all cells of code in one namespace, and put what they show in place of what is there."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    codes = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(codes, 1):
        printed, value = _run("".join(cell["source"]), namespace, f"cell {number}")
        cell["execution_count"] = number
        cell["outputs"] = [] if not printed else [_stream(printed)]
        if value is not None:
            cell["outputs"].append(_result(value, number))


def _run(source: str, namespace: dict[str, Any], name: str) -> tuple[str, Any]:
    """What a cell prints, and the value of its last line where that is an expression."""
    tree = ast.parse(source, name)
    last = ast.Expression(tree.body.pop().value) if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(tree, name, "exec"), namespace)
        value = None if last is None else eval(compile(last, name, "eval"), namespace)
    return printed.getvalue(), value


def _stream(printed: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": printed.splitlines(keepends=True)}


def _result(value: Any, number: int) -> dict[str, Any]:
    """Pictures are shown by what Pillow tells Jupyter."""
    data = {"text/plain": [type(value).__name__]}
    if hasattr(value, "_repr_png_"):
        data["image/png"] = base64.b64encode(value._repr_png_()).decode()
    return {"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data}


if __name__ == "__main__":
    shown = read()
    run(shown)
    PAGE.write_text(json.dumps(shown, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
