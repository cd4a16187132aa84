"""The legend of tensor axes: each is named once, here, and means the same everywhere.

A shape is written with these letters in every docstring whose tensors cross a function
boundary: ``logits [L, B, C]``. Say *axis* for an axis of a device mesh and *dim* for the
dimension of a tensor.

====== ===============================================================
letter meaning
====== ===============================================================
``L``  lane: one training of a candidate on one fold with one seed
``P``  parameter: all the weights of a lane, end to end
``N``  row of the data set
``B``  row of a batch
``D``  feature
``K``  categorical column (in a mesh: rank)
``H``  hidden unit
``C``  class, or output of a model
``F``  fold
``S``  seed
``G``  group of lanes that share one batch (fold x seed)
====== ===============================================================
"""

LEGEND = {
    "L": "lane",
    "P": "parameter",
    "N": "row of the data set",
    "B": "row of a batch",
    "D": "feature",
    "K": "categorical column, or rank",
    "H": "hidden unit",
    "C": "class or output",
    "F": "fold",
    "S": "seed",
    "G": "group of lanes that share one batch",
}
