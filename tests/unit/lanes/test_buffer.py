import torch

from lanewise.lanes.buffer import BufferLayout, LaneBuffer, Parameter

LAYOUT = BufferLayout.of(
    [
        Parameter(name="bias", shape=(2,), fan_in=3, penalised=False),
        Parameter(name="weight", shape=(2, 3), fan_in=3),
        Parameter(name="scale", shape=(), fan_in=1, penalised=False),
    ]
)


def test_penalised_parameters_come_first() -> None:
    assert [parameter.name for parameter in LAYOUT.parameters] == ["weight", "bias", "scale"]
    assert (LAYOUT.penalised, LAYOUT.width) == (6, 9)


def test_views_share_the_storage_of_the_buffer() -> None:
    values = torch.arange(18.0).view(2, 9)
    views = LAYOUT.views(values)
    assert views["weight"].tolist()[1] == [[9, 10, 11], [12, 13, 14]]
    assert views["bias"].tolist() == [[6, 7], [15, 16]]
    assert views["scale"].tolist() == [8, 17]
    views["bias"][1, 0] = -1
    assert values[1, 6] == -1


def test_gradients_are_written_and_not_added() -> None:
    buffer = LaneBuffer(LAYOUT, torch.ones(2, 9))
    for _ in range(2):
        (buffer.weights["weight"].read().sum((1, 2)) * torch.tensor([2.0, 3.0])).sum().backward()
        assert buffer.gradients[:, :6].tolist() == [[2.0] * 6, [3.0] * 6]
    assert not buffer.gradients[:, 6:].any()


def test_a_weight_read_twice_has_one_gradient() -> None:
    buffer = LaneBuffer(LAYOUT, torch.ones(1, 9))
    value = buffer.weights["weight"].read()
    (value.sum() + 2 * value.sum()).backward()
    assert buffer.gradients[0, :6].tolist() == [3.0] * 6


def test_keeping_rows_compacts_values_in_the_order_given() -> None:
    buffer = LaneBuffer(LAYOUT, torch.arange(27.0).view(3, 9))
    buffer.keep(torch.tensor([2, 0]))
    assert len(buffer) == 2
    assert buffer.values[:, 0].tolist() == [18, 0]
    assert buffer.weights["bias"].value.tolist() == [[24, 25], [6, 7]]


def test_the_shadow_follows_after_a_refresh() -> None:
    buffer = LaneBuffer(LAYOUT, torch.ones(1, 9), shadow=torch.bfloat16)
    buffer.values.fill_(2.0)
    assert buffer.weights["weight"].compute.dtype == torch.bfloat16
    buffer.refresh()
    assert bool((buffer.weights["weight"].compute == 2).all())
