"""The default plan finds what can be split in the structure of a model, and a plan that cannot be used is refused."""

import pytest
from torch import nn

from lanewise.distributed.mesh import Mesh
from lanewise.distributed.tensor_plan import plan_of
from lanewise.errors import UsageError

TWO = Mesh(tensor=2)


class Named(nn.Module):
    """Layers by name, and numbers."""

    def __init__(self, **parts) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def attention(**more) -> Named:
    layers = {name: nn.Linear(8, 8) for name in ("q_proj", "k_proj", "v_proj", "o_proj")}
    return Named(**{"num_heads": 4, **layers, **more})


def styles(module, **settings):
    return dict(plan_of(module, settings.pop("mesh", TWO), **settings).styles)


def test_pairs_in_a_sequence_are_split_by_column_and_then_by_row():
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 2))
    assert styles(model) == {"0": "column", "3": "row", "5": "gathered"}
    apart = nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8), nn.Linear(8, 3))
    assert styles(apart) == {"0": "gathered"}


def test_feed_forward_blocks_are_known_by_the_names_of_their_layers():
    gated = Named(gate_proj=nn.Linear(4, 6), up_proj=nn.Linear(4, 6), down_proj=nn.Linear(6, 4))
    assert styles(Named(mlp=gated)) == {
        "mlp.gate_proj": "column",
        "mlp.up_proj": "column",
        "mlp.down_proj": "row",
    }
    layer = nn.TransformerEncoderLayer(4, 2, 6)
    assert styles(layer) == {"linear1": "column", "linear2": "row"}
    halves = Named(fc1=nn.Linear(4, 12), fc2=nn.Linear(6, 4))  # a gate within one layer
    assert styles(halves) == {"fc1": "gathered", "fc2": "gathered"}


def test_attention_is_split_by_heads():
    model = Named(attention=attention(num_kv_heads=2, k_proj=nn.Linear(8, 4), v_proj=nn.Linear(8, 4)))
    plan = plan_of(model, TWO)
    assert [plan.styles[f"attention.{own}_proj"] for own in "qkvo"] == ["column", "column", "column", "row"]
    assert plan.heads == {"attention": ("num_heads", "num_kv_heads")}
    normed = plan_of(Named(attention=attention(norm=nn.LayerNorm(2))), TWO)
    assert set(normed.styles.values()) == {"gathered"}
    assert not normed.heads


def test_embeddings_are_split_by_entries_or_by_width_and_what_is_shared_stays_whole():
    model = Named(
        a=nn.Embedding(10, 3), b=nn.Embedding(7, 4), c=nn.Embedding(7, 3), d=nn.Embedding(10, 4, padding_idx=0)
    )
    assert styles(model) == {"a": "row", "b": "column", "d": "column"}
    tied = Named(embed=nn.Embedding(10, 4), head=nn.Linear(4, 10), other=nn.Linear(4, 2))
    tied.head.weight = tied.embed.weight
    assert styles(tied) == {"other": "gathered"}


def test_a_plan_of_the_user_counts_alone():
    blocks = nn.ModuleList(Named(up=nn.Linear(4, 6), down=nn.Linear(6, 4)) for _ in range(2))
    model = Named(blocks=blocks, head=nn.Linear(4, 2))
    found = plan_of(model, TWO, {"blocks.*.up": "column", "blocks.*.down": "row"})
    assert len(found.styles) == 4
    assert str(found) == "{'blocks.*.up': 'column', 'blocks.*.down': 'row'}"


@pytest.mark.parametrize(
    ("model", "given", "words"),
    [
        (nn.Conv1d(1, 1, 3), None, "the model has none that can be; leave tensor out, or name them in tensor_plan"),
        (
            Named(a=attention(num_heads=3)),
            None,
            "a: 3 heads do not split evenly over tensor=2; set tensor to 1 or 3, or",
        ),
        (Named(a=nn.Linear(4, 4)), {"a": "rows"}, r"tensor_plan\['a'\] is 'rows'; did you mean row\?"),
        (Named(a=nn.Linear(4, 4)), {"b.*": "row"}, "tensor_plan has 'b.*', which names no Linear and no Embedding"),
        (Named(a=nn.LayerNorm(4)), {"a": "row"}, "tensor_plan has 'a', which names no Linear and no Embedding"),
        (
            Named(a=nn.Embedding(9, 4)),
            {"a": "row"},
            "9 entries do not split evenly over tensor=2; set num_embeddings to 10",
        ),
        (Named(a=nn.Embedding(8, 4, padding_idx=0)), {"a": "row"}, "with padding_idx is split by column only"),
    ],
)
def test_what_cannot_be_split_is_said(model, given, words):
    with pytest.raises(UsageError, match=words):
        plan_of(model, TWO, given)


def test_a_shared_weight_cannot_be_split():
    tied = Named(embed=nn.Embedding(10, 4), head=nn.Linear(4, 10))
    tied.head.weight = tied.embed.weight
    with pytest.raises(UsageError, match="layer head shares a weight with another one, so tensor cannot split it"):
        plan_of(tied, TWO, {"head": "column"})
