"""The hot loops: compiled, or in NumPy with ``MARKAI_KERNELS=reference`` (the oracle that the tests compare with).

There is no silent fallback: a package without its compiled half is broken and says so.
"""

import os
from typing import TYPE_CHECKING

if not TYPE_CHECKING and os.environ.get("MARKAI_KERNELS") == "reference":
    from markai._kernels.polar_reference import polar_encode, polar_list_decode
    from markai._kernels.reference import (
        add_cells,
        cell_means,
        cell_means_and_spread,
        fit_change,
        gather_symbols,
        lattice_scores,
        least_neighbour,
        neighbour_products,
        pull,
        scatter_symbols,
        smooth,
        strongest_shifts,
        warp,
        whiten,
    )
else:
    from markai._kernels._native import (
        add_cells,
        cell_means,
        cell_means_and_spread,
        fit_change,
        gather_symbols,
        lattice_scores,
        least_neighbour,
        neighbour_products,
        polar_encode,
        polar_list_decode,
        pull,
        scatter_symbols,
        smooth,
        strongest_shifts,
        warp,
        whiten,
    )

__all__ = [
    "add_cells",
    "cell_means",
    "cell_means_and_spread",
    "fit_change",
    "gather_symbols",
    "lattice_scores",
    "least_neighbour",
    "neighbour_products",
    "polar_encode",
    "polar_list_decode",
    "pull",
    "scatter_symbols",
    "smooth",
    "strongest_shifts",
    "warp",
    "whiten",
]
