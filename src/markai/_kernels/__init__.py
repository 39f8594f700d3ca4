"""The hot loops: compiled, or in NumPy with ``MARKAI_KERNELS=reference`` (the oracle that the tests compare with).

There is no silent fallback: a package without its compiled half is broken and says so.
"""

import os
from typing import TYPE_CHECKING

if not TYPE_CHECKING and os.environ.get("MARKAI_KERNELS") == "reference":
    from markai._kernels.mersenne_reference import randperm, randperm_ranks
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
    from markai._kernels.text_reference import (
        add_bias,
        add_bias_self,
        context_states,
        gumbel_choice,
        lane_words,
        self_words,
        token_words,
        vocabulary_words,
    )
else:
    from markai._kernels._native import (
        add_bias,
        add_bias_self,
        add_cells,
        cell_means,
        cell_means_and_spread,
        context_states,
        fit_change,
        gather_symbols,
        gumbel_choice,
        lane_words,
        lattice_scores,
        least_neighbour,
        neighbour_products,
        polar_encode,
        polar_list_decode,
        pull,
        randperm,
        randperm_ranks,
        scatter_symbols,
        self_words,
        smooth,
        strongest_shifts,
        token_words,
        vocabulary_words,
        warp,
        whiten,
    )

__all__ = [
    "add_bias",
    "add_bias_self",
    "add_cells",
    "cell_means",
    "cell_means_and_spread",
    "context_states",
    "fit_change",
    "gather_symbols",
    "gumbel_choice",
    "lane_words",
    "lattice_scores",
    "least_neighbour",
    "neighbour_products",
    "polar_encode",
    "polar_list_decode",
    "pull",
    "randperm",
    "randperm_ranks",
    "scatter_symbols",
    "self_words",
    "smooth",
    "strongest_shifts",
    "token_words",
    "vocabulary_words",
    "warp",
    "whiten",
]
