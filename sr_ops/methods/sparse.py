"""Sparse coding: a patch is a sum of a few atoms of a dictionary, and lacks the sum of the residuals of these atoms."""

import torch
from torch import Generator, Tensor

from ..enlarging.method import Learned
from .patches.anchors import directions
from .patches.own_examples import Examples, rounded
from .patches.patch_method import PatchMethod

_ATOMS = 256
_USED = 3
"""Atoms per patch."""

_ROUNDS = 6
_RIDGE = 1e-3
"""Share of the mean square of a coefficient: keeps the residuals of rarely used atoms small."""

_LIKE = 1e-5
"""Makes two equal atoms count half each."""


class CoupledDictionaries(PatchMethod):
    """The dictionaries are learned from the image's own pyramid. Codes come from orthogonal matching pursuit."""

    line = "Sparse codes over coupled dictionaries of the image's own patches."
    source = (
        "Yang, Wright, Huang, Ma 2010, section II; codes and order of learning: Zeyde, Elad, Protter 2010, section 3"
    )
    most_examples = 20_000

    def learn_from(self, examples: Examples, seed: int) -> dict[str, Tensor]:
        atoms = dictionary_of(examples.shapes, min(_ATOMS, len(examples.shapes)), seed)
        coefficients = _dense(*codes(examples.shapes, atoms), len(atoms))
        return {"atoms": atoms, "residuals": _least_squares(coefficients, examples.residuals)}

    def residuals(self, shapes: Tensor, learned: Learned) -> Tensor:
        used, weights = codes(shapes, learned["atoms"])
        return torch.einsum("nk,nke->ne", weights, learned["residuals"][used])


def dictionary_of(shapes: Tensor, count: int, seed: int) -> Tensor:
    """Return (count, D) unit atoms, a few of which approximate each of (N, D), by the method of optimal directions.

    Engan, Aase, Husoy 1999: alternately codes for the atoms, and atoms for the codes.
    """
    first = torch.randperm(len(shapes), generator=Generator().manual_seed(seed))[:count]
    atoms = _atoms(shapes[first.to(shapes.device)])
    for _ in range(_ROUNDS):
        coefficients = _dense(*codes(shapes, atoms), len(atoms))
        made = _least_squares(coefficients, shapes)
        atoms = torch.where((coefficients != 0).any(0)[:, None], _atoms(made), atoms)
    return atoms


def codes(shapes: Tensor, atoms: Tensor) -> tuple[Tensor, Tensor]:
    """Return the atoms of each of (N, D) and their weights, (N, _USED) each, by orthogonal matching pursuit."""
    left, used = shapes, shapes.new_zeros(len(shapes), 0, dtype=torch.long)
    across: list[Tensor] = []  # each atom orthogonalised against those before it, of length 1
    for _ in range(min(_USED, len(atoms))):
        likeness = (left @ atoms.T).abs().scatter(1, used, -1.0)  # no atom twice
        used = torch.cat([used, likeness.argmax(1, keepdim=True)], 1)
        new = atoms[used[:, -1]]
        for axis in across:
            new = new - (new * axis).sum(1, keepdim=True) * axis
        across.append(directions(new))
        left = left - (left * across[-1]).sum(1, keepdim=True) * across[-1]
    chosen = atoms[used]
    normal = chosen @ chosen.mT + _LIKE * torch.eye(used.shape[1]).to(shapes)
    weights: Tensor = torch.linalg.solve(normal, chosen @ shapes[..., None])
    return used, weights[..., 0]


def _dense(used: Tensor, weights: Tensor, count: int) -> Tensor:
    """Return the codes as a dense matrix (N, count)."""
    return weights.new_zeros(len(weights), count).scatter(1, used, weights)


def _least_squares(coefficients: Tensor, made: Tensor) -> Tensor:
    """Return (count, E), a row per atom, such that coefficients (N, count) times it approximate `made` (N, E)."""
    normal = coefficients.T @ coefficients
    ridge = _RIDGE * normal.diagonal().mean() * torch.eye(len(normal)).to(normal)
    solution: Tensor = torch.linalg.solve(normal + ridge, coefficients.T @ made)
    return solution


def _atoms(shapes: Tensor) -> Tensor:
    return rounded(directions(shapes))


METHOD = CoupledDictionaries()
