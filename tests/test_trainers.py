"""The losses in the trainers of transformers and Lightning and under FSDP: however a batch is split, its gradient is
the same.
"""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import focal_loss.torch as ours
from focal_loss.torch.compat.transformers import causal_focal_loss, compute_loss_func

SCRIPT = Path(__file__).with_name("trained.py")
PAGE = SCRIPT.parents[1] / "docs/many_machines.md"
Results = dict[int, dict[str, Any]]
CASES = ["causal", "causal, counted", "causal, fused", "tokens", "sequences", "sequences, many labels"]
LOGITS = torch.linspace(-2, 2, 2 * 5 * 7, dtype=torch.float64).sin().reshape(2, 5, 7)
LABELS = torch.tensor([[3, 0, 6, -100, -100], [1, 1, -100, 2, 5]])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Results by number of processes. All of them come of two processes, because these take seconds to start."""
    folder = tmp_path_factory.mktemp("trainers")
    commands = [[sys.executable, SCRIPT, str(rank), "2", folder] for rank in range(2)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for command in commands
    ]
    try:
        said = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    return torch.load(folder / "results.pt")


def off(results: Results, size: int, case: str, split: str) -> float:
    """The largest difference of a parameter from that of the unsplit batch, over the largest step of a parameter."""
    whole, start = results[1]["trained"][case, "1 x 8"]
    return float((results[size]["trained"][case, split][0] - whole).abs().max() / (whole - start).abs().max())


@pytest.mark.parametrize("case", CASES)
def test_a_batch_and_its_parts_train_alike(results: Results, case: str) -> None:
    splits = {(1, "4 x 2"), (2, "2 x 4"), (2, "2 x 2 x 2")}
    if case != "causal, fused":
        splits |= {(1, "2 devices"), (1, "2 devices, 2 x 2")}
    for size, split in splits:
        assert off(results, size, case, split) < 1e-13, (size, split)  # sums in another order
    alone, together = (results[size]["trained"][case, "evaluated"] for size in (1, 2))
    assert alone == pytest.approx(together, rel=1e-12)


def test_what_a_mean_of_means_would_train(results: Results) -> None:
    """The test above can fail: labels are ignored in numbers uneven enough."""
    assert off(results, 1, "causal, a mean of means", "1 x 8") == 0
    assert off(results, 1, "causal, a mean of means", "4 x 2") > 0.1


def test_the_trainer_counts_what_the_loss_adds_up(results: Results) -> None:
    """With one micro-batch the loss is the mean. A `GPT2LMHeadModel` counts what nothing predicts, in its own loss too,
    unless it has the type of loss that its name does not tell.
    """
    trained = results[1]["trained"]
    means, _ = trained["causal, a mean of means", "1 x 8"]
    assert torch.equal(trained["causal, counted", "1 x 8"][0], means)
    assert not torch.allclose(trained["causal", "1 x 8"][0], means, rtol=1e-2)


@pytest.mark.parametrize(("size", "split"), [(1, "1 x 8"), (1, "4 x 2"), (2, "2 x 4")])
def test_without_gamma_it_is_the_loss_of_the_model(results: Results, size: int, split: str) -> None:
    """Its own loss is float32 whatever the logits, of which there are three steps."""
    trained = results[size]["trained"]
    found, expected = (trained[f"causal, {name}", split][0] for name in ("cross-entropy", "its own loss"))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


def test_sharded_weights(results: Results) -> None:
    """`fully_shard` of the whole, of layers, of a tied weight: one process's gradient, and an error where the head is
    not whole, whose remedy is right.
    """
    alone, together = (results[size]["sharded"] for size in (1, 2))
    assert "call `unshard()` of that module" in together.pop("head")
    for name, gradient in together.items():
        torch.testing.assert_close(gradient, alone[name], rtol=1e-12, atol=1e-15, msg=name)
    assert len(together) == 5


def test_lightning(results: Results) -> None:
    torch.testing.assert_close(results[2]["lightning"], results[1]["lightning"], rtol=1e-12, atol=1e-15)


def test_the_recipes_are_those_of_the_page() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    classes = [block[found.start() :] for block in blocks if (found := re.search("^class ", block, re.MULTILINE))]
    assert len(classes) == 2
    assert all(text in SCRIPT.read_text(encoding="utf-8") for text in classes)


def gradient(loss: Callable[..., Tensor], *given: Tensor) -> list[Tensor]:
    given = tuple(x.clone().requires_grad_() for x in given)
    value = loss(*given)
    return [value.detach(), *torch.autograd.grad(value, given)]


@pytest.mark.parametrize("count", [None, 9, 9.0, torch.tensor(9), torch.tensor([[9], [9]])])
@pytest.mark.parametrize("outputs", [lambda x: {"logits": x, "past": None}, lambda x: (x, None), lambda x: x])
def test_a_shift_of_labels(count: Any, outputs: Callable[[Tensor], Any]) -> None:
    options = {"alpha": torch.arange(7) / 4, "label_smoothing": 0.1}
    compute = pickle.loads(pickle.dumps(compute_loss_func(1.5, shift=True, **options)))

    def shifted(x: Tensor) -> Tensor:
        loss = ours.FocalLoss(gamma=1.5, reduction="mean" if count is None else "sum", **options)
        divisor = 1 if count is None else 18 if isinstance(count, Tensor) and count.ndim else 9
        return loss(x[:, :-1].transpose(1, 2), LABELS[:, 1:]) / divisor

    for found, expected in zip(
        gradient(lambda x: compute(outputs(x), LABELS, count), LOGITS), gradient(shifted, LOGITS), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)


def test_many_labels_of_any_dtype() -> None:
    y = torch.tensor([[0, 1, 1], [1, 0, -100]])
    x = LOGITS[0, :2, :3]
    expected = ours.sigmoid_focal_loss(x, y.clamp(min=0), 0.25, 2.0)[y >= 0].sum() / 5
    for labels in (y, y.double(), y.short()):
        for count in (None, 5):
            found = compute_loss_func(2.0, alpha=0.25)({"logits": x}, labels, count)
            torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("count", [None, 0, torch.tensor(0)])
def test_nothing_to_learn_from(count: Any) -> None:
    nothing = torch.full_like(LABELS, -100)
    weight = LOGITS[0].mT.contiguous()
    for loss, given in (
        (lambda x: compute_loss_func(2.0, shift=True)({"logits": x}, nothing, count), (LOGITS,)),
        (lambda h, w: causal_focal_loss(h, w, nothing, 2.0, num_items_in_batch=count), (LOGITS @ weight, weight)),
    ):
        assert all((found == 0).all() for found in gradient(loss, *given))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_a_causal_model_without_logits(dtype: torch.dtype, tied: bool) -> None:
    """Gradients are those of the head and the loss in float64. In narrower dtypes they are as near as where the logits
    are made, to two roundings, of the sum over tokens and of its product with the upstream. The loss is float32. A tied
    weight has the sum of its two gradients.
    """
    tokens = torch.randint(40, (30, 12))
    labels = tokens.where(torch.rand(tokens.shape) < 0.7, -100)
    table, other = torch.randn(40, 8), torch.randn(40, 8)

    def fused(hidden: Tensor, weight: Tensor) -> Tensor:
        return causal_focal_loss(hidden, weight, labels, 2.0, num_items_in_batch=250, label_smoothing=0.1)

    def unfused(hidden: Tensor, weight: Tensor) -> Tensor:
        logits = torch.nn.functional.linear(hidden, weight)
        return compute_loss_func(2.0, shift=True, label_smoothing=0.1)((logits,), labels, 250)

    def gradients(loss: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype) -> list[Tensor]:
        embedding = table.bfloat16().to(dtype).requires_grad_()
        weight = embedding if tied else other.bfloat16().to(dtype).requires_grad_()
        value = loss(torch.nn.functional.embedding(tokens, embedding), weight)
        assert value.dtype == torch.promote_types(dtype, torch.float32)
        return [g.double() for g in torch.autograd.grad(value, [embedding] if tied else [embedding, weight])]

    exact, theirs, found = gradients(unfused, torch.float64), gradients(unfused, dtype), gradients(fused, dtype)
    for e, t, f in zip(exact, theirs, found, strict=True):
        if dtype == torch.float64:
            torch.testing.assert_close(f, e, rtol=1e-12, atol=1e-15)
        else:
            assert (f - e).abs().max() <= (t - e).abs().max() + 2 * torch.finfo(dtype).eps * e.abs().max()


def test_labels_that_are_shifted_already() -> None:
    hidden, weight = LOGITS, LOGITS.flatten(0, 1)
    shifted = torch.tensor([[0, 6, -100, -100, -100], [1, -100, 2, 5, -100]])
    for count in (None, 9):
        expected = causal_focal_loss(hidden, weight, LABELS, 2.0, num_items_in_batch=count)
        for labels in (None, LABELS):
            given = {"num_items_in_batch": count, "shift_labels": shifted}
            torch.testing.assert_close(causal_focal_loss(hidden, weight, labels, 2.0, **given), expected)


def test_no_number_of_a_device_is_waited_for() -> None:
    """On the device "meta" there are none."""
    x, y, count = (t.to("meta") for t in (LOGITS, LABELS, torch.tensor(9)))
    assert compute_loss_func(2.0, shift=True)({"logits": x}, y, count).is_meta
    assert causal_focal_loss(x, x[0], y, 2.0, num_items_in_batch=count).is_meta


def test_how_it_is_printed() -> None:
    assert repr(compute_loss_func(2)) == "compute_loss_func(2)"
    given = {"alpha": [1, 2], "ignore_index": 0, "shift": True, "label_smoothing": 0.1}
    text = "compute_loss_func(0.5, alpha=[1, 2], ignore_index=0, shift=True, label_smoothing=0.1)"
    assert repr(compute_loss_func(0.5, **given)) == text


CLASSES = torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: compute_loss_func(-1), ValueError, "`gamma` must be a non-negative number, got -1"),
        (lambda: compute_loss_func(2, shift=1), TypeError, "`shift` must be True or False, got 1"),
        (lambda: compute_loss_func(2, ignore_class=1), TypeError, "has no `ignore_class`; pass `ignore_index`"),
        (lambda: compute_loss_func(2)({"loss": 1}, LABELS), TypeError, r"hold `logits`.*got the keys \['loss'\]"),
        (lambda: compute_loss_func(2)((), LABELS), TypeError, "`outputs` must hold `logits`.*got tuple"),
        (lambda: compute_loss_func(2)(LOGITS, None), TypeError, "`labels` must be a tensor, got None"),
        (
            lambda: compute_loss_func(2)(LOGITS, LABELS, "9"),
            TypeError,
            "`num_items_in_batch` must be a positive number",
        ),
        (lambda: compute_loss_func(2)(LOGITS, LABELS, -9), ValueError, "`num_items_in_batch` must be .*, got -9"),
        (lambda: compute_loss_func(2)(LOGITS, LABELS, torch.tensor([-9])), ValueError, "positive number, got -9"),
        (lambda: compute_loss_func(2)(LOGITS, LABELS, float("inf")), ValueError, "positive number, got inf"),
        (lambda: compute_loss_func(2)(LOGITS, LABELS, torch.tensor(True)), TypeError, "got a tensor of torch.bool"),
        (lambda: compute_loss_func(2)(LOGITS, LABELS + 7, 9), ValueError, "`labels` must hold class indices"),
        (lambda: compute_loss_func(2, ignore_index=0)(LOGITS, LABELS, 9), ValueError, "write -100 for the labels to"),
        (lambda: compute_loss_func(2)(LOGITS, LABELS[:, 1:]), ValueError, r"class indices of shape \(2, 5\)"),
        (lambda: compute_loss_func(2)(LOGITS[0], LABELS[0].double()), ValueError, r"call `labels.long\(\)`"),
        (lambda: compute_loss_func(2)(LOGITS[0, :2, :1], CLASSES), ValueError, "with `num_labels=2`.* a regression"),
        (lambda: compute_loss_func(2, shift=True)(LOGITS, LOGITS), ValueError, "`shift` needs class indices"),
        (
            lambda: compute_loss_func(2, alpha=2)(LOGITS, LOGITS > 0),
            ValueError,
            r"`alpha` must be a number in \[0, 1\]",
        ),
        (
            lambda: causal_focal_loss(LOGITS, LOGITS[0], None, 2),
            TypeError,
            "`labels` must be a tensor of class indices",
        ),
        (
            lambda: causal_focal_loss(LOGITS, LOGITS[0], LABELS, 2, num_items_in_batch=-9),
            ValueError,
            "`num_items_in_batch` must be a positive number, got -9",
        ),
        (lambda: causal_focal_loss(LOGITS, LOGITS[0].float(), LABELS, 2), TypeError, "`lm_head_weight` must have the"),
    ],
)
def test_wrong_calls(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()
