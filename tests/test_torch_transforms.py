"""Every way that torch differentiates, eager and compiled, of every loss: the right number or an error, never zero."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from cases import FRAMEWORK, OWN_FORM, UNLABELED
from cases import LOSSES as DECLARED
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap
from torch.utils.checkpoint import checkpoint

import focal_loss.torch as ours

F64 = torch.float64
LOGITS: dict[str, Any] = {"from_logits": True}
Function = Callable[[Tensor], Tensor]

Z = torch.tensor([[0.5, -1.0, 2.0], [-0.3, 1.5, 0.0], [1.0, 0.2, -2.0], [-1.2, -0.7, 0.4]], dtype=F64)
TANGENT = torch.tensor([[1.0, 2.0, -1.0], [0.5, -1.5, 1.0], [-2.0, 1.0, 0.3], [0.7, -0.2, 1.1]], dtype=F64)
HARD = torch.tensor([[1, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 1]])
SOFT = torch.softmax(TANGENT, 1)
INDEX = torch.tensor([0, 2, 1, 1])
WEIGHT = torch.tensor([[1.0, 0.0, 0.5], [-1.0, 2.0, 0.0], [0.3, 0.3, -0.6], [0.0, -1.0, 1.0]], dtype=F64)


def linear(x: Tensor) -> Tensor:
    return ours.linear_sparse_categorical_focal_loss(x, WEIGHT, INDEX, 2)


LOSSES: dict[str, Function] = {
    "binary": lambda x: ours.binary_focal_loss(HARD, x, 2, **LOGITS),
    "binary soft": lambda x: ours.binary_focal_loss(
        SOFT, x, 1.5, pos_weight=[1.0, 2.0, 3.0], reduction="mean", **LOGITS
    ),
    "binary of probabilities": lambda x: ours.binary_focal_loss(HARD, x.sigmoid(), 2),
    "binary crossentropy": lambda x: ours.binary_focal_crossentropy(HARD, x, True, reduction="sum", **LOGITS),
    "sigmoid": lambda x: ours.sigmoid_focal_loss(x, SOFT, 0.25, 2, "mean"),
    "categorical": lambda x: ours.categorical_focal_loss(SOFT, x, 2, reduction="mean", **LOGITS),
    "categorical crossentropy": lambda x: ours.categorical_focal_crossentropy(SOFT, x, [0.2, 0.3, 0.4], **LOGITS),
    "sparse": lambda x: ours.sparse_categorical_focal_loss(INDEX, x, 2, ignore_class=1, reduction="mean", **LOGITS),
    "sparse crossentropy": lambda x: ours.sparse_categorical_focal_crossentropy(INDEX, x, [0.2, 0.3, 0.4], **LOGITS),
    "linear": linear,
}


LOSSES |= {loss.name: loss.at(FRAMEWORK["torch"], SOFT) for loss in OWN_FORM}
# Each rule of a closed form once, compiled; the other transformations of compiled code are made of these.
RULES = ("backward", "jvp", "hessian", "vmap of grad")


def slope(f: Function, x: Tensor, **options: Any) -> Tensor:
    x = x.detach().requires_grad_()
    return torch.autograd.grad(f(x).sum(), x, **options)[0]


def curvature(f: Function, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    first = torch.autograd.grad(f(x).sum(), x, create_graph=True)[0]
    return torch.autograd.grad((first * TANGENT).sum(), x)[0]


def batched(f: Function, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    return torch.autograd.grad(f(x).sum(), x, torch.tensor([1.0, 2.0], dtype=F64), is_grads_batched=True)[0]


def dual(f: Function, x: Tensor) -> Tensor:
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(f(forward_ad.make_dual(x, TANGENT)).sum()).tangent


def two(x: Tensor) -> Tensor:
    return torch.stack([x, 2 * x])


def total(f: Function) -> Function:
    return lambda x: f(x).sum()


# Each transformation of a loss, and its expected result from the first derivative at x and 2x and the second
# derivative.
TRANSFORMS: dict[str, tuple[Callable[[Function, Tensor], Tensor], Callable[..., Tensor]]] = {
    "backward": (slope, lambda g, g2, h: g),
    "double backward": (curvature, lambda g, g2, h: (h * TANGENT).sum((2, 3))),
    "grad": (lambda f, x: grad(total(f))(x), lambda g, g2, h: g),
    "vjp": (lambda f, x: vjp(total(f), x)[1](torch.tensor(2.0, dtype=F64))[0], lambda g, g2, h: 2 * g),
    "jvp": (lambda f, x: jvp(total(f), (x,), (TANGENT,))[1], lambda g, g2, h: (g * TANGENT).sum()),
    "jacfwd": (lambda f, x: jacfwd(total(f))(x), lambda g, g2, h: g),
    "jacrev": (lambda f, x: jacrev(total(f))(x), lambda g, g2, h: g),
    "hessian": (lambda f, x: hessian(total(f))(x), lambda g, g2, h: h),
    "jvp of grad": (
        lambda f, x: jvp(grad(total(f)), (x,), (TANGENT,))[1],
        lambda g, g2, h: (h * TANGENT).sum((2, 3)),
    ),
    "vmap of grad": (lambda f, x: vmap(grad(total(f)))(two(x)), lambda g, g2, h: torch.stack([g, g2])),
    "grad of vmap": (lambda f, x: grad(lambda x: vmap(f)(two(x)).sum())(x), lambda g, g2, h: g + 2 * g2),
    "dual numbers": (dual, lambda g, g2, h: (g * TANGENT).sum()),
    "batched gradients": (batched, lambda g, g2, h: torch.stack([g, 2 * g])),
    "checkpoint": (
        lambda f, x: slope(lambda x: checkpoint(f, x, use_reentrant=False), x),
        lambda g, g2, h: g,
    ),
    "forward in forward": (lambda f, x: jacfwd(jacfwd(total(f)))(x), lambda g, g2, h: h),
}
# Transforms that the compiler traces like another: grad, jvp of grad, vmap of grad, backward.
TWINS = ("vjp", "jacrev", "hessian", "grad of vmap", "checkpoint")
# Messages of expected errors, with a remedy: ours, or the compiler's own, which has no double backward at all.
REFUSED = {
    ("eager", "double backward", "linear"): "take the layer and the loss",
    ("eager", "batched gradients", "linear"): "take the layer and the loss",
    **{("eager", "forward in forward", name): "take reverse mode for one of the two" for name in LOSSES},
    **{("compiled", "double backward", name): "does not currently support double backward" for name in LOSSES},
    **{("compiled", "forward in forward", name): "take reverse mode for one of the two" for name in LOSSES},
    ("compiled", "double backward", "linear"): "take the layer and the loss",
    ("compiled", "batched gradients", "linear"): "take the layer and the loss",
    ("compiled", "dual numbers", "linear"): "compile the function that calls",  # it breaks the graph
}


@pytest.fixture(autouse=True)
def no_level_of_forward_mode() -> Iterator[None]:
    """Close the level of forward mode that the compiler leaves open when an error ends a trace."""
    yield
    torch._dynamo.reset()
    while forward_ad._current_level >= 0:
        forward_ad.exit_dual_level()


@pytest.fixture(scope="module")
def expected() -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """The expected result by backward and double backward, which are tested against the golden numbers."""
    layer = lambda x: ours.sparse_categorical_focal_loss(INDEX, x @ WEIGHT.T, 2, reduction="mean", **LOGITS)  # noqa: E731
    functions = LOSSES | {"linear": layer}
    return {
        name: (slope(f, Z), slope(f, 2 * Z), torch.autograd.functional.hessian(total(f), Z))
        for name, f in functions.items()
    }


@pytest.mark.filterwarnings("ignore::UserWarning:torch.*")
@pytest.mark.parametrize(
    ("how", "transform"),
    [
        *(("eager", transform) for transform in TRANSFORMS),
        *(
            pytest.param("compiled", transform, marks=[pytest.mark.nightly] if transform in TWINS else [])
            for transform in TRANSFORMS
        ),
    ],
)
def test_the_right_derivative_or_an_error(how: str, transform: str, expected: dict[str, Any]) -> None:
    function, of_derivatives = TRANSFORMS[transform]
    refused = {name: message for (h, t, name), message in REFUSED.items() if (h, t) == (how, transform)}
    fewer = map(str, OWN_FORM) if how == "compiled" and transform not in RULES else ()
    apart = {"linear", *refused, *fewer}
    together = {name: f for name, f in LOSSES.items() if name not in apart}
    groups = [together, *({name: LOSSES[name]} for name in ("linear", *list(refused)[:1]) if name not in together)]
    for group in groups:
        call = lambda x: {name: function(f, x) for name, f in group.items()}  # noqa: B023, E731
        if how == "compiled":
            torch._dynamo.reset()
            call = torch.compile(call, backend="aot_eager")
        if set(group) & set(refused):
            with pytest.raises((NotImplementedError, RuntimeError), match=refused[next(iter(group))]):
                call(Z)
            continue
        for name, found in call(Z).items():
            right = of_derivatives(*expected[name])
            assert right.any()
            torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-14, msg=lambda m: f"{name}: {m}")  # noqa: B023


@pytest.mark.filterwarnings("ignore:`torch._prims_common.check` is deprecated:FutureWarning")
def test_known_derivatives_of_compiled_forward_mode() -> None:
    """The numbers were computed by mpmath at 40 digits."""
    z, y, tangent = torch.tensor([0.5, -1.0]), torch.tensor([1, 0]), torch.tensor([1.0, 2.0])
    loss = lambda x: ours.binary_focal_loss(y, x, 2, reduction="sum", **LOGITS)  # noqa: E731
    call = lambda z, v: (jvp(loss, (z,), (v,))[1], jacfwd(loss)(z), grad(loss)(z))  # noqa: E731
    slope = torch.tensor([-0.137936997351, 0.0525811299776])
    torch.testing.assert_close(torch.compile(call)(z, tangent), (torch.tensor(-0.0327747373958), slope, slope))


@pytest.mark.filterwarnings("ignore::UserWarning:torch.*")
@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("name", ["binary", "binary of probabilities", "sparse", "linear"])
def test_what_was_compiled_without_forward_mode_refuses_it(name: str, gradient: bool) -> None:
    """The default backend drops the tangents of dual numbers before the loss, so an error is expected."""
    loss = torch.compile(lambda x: LOSSES[name](x * 1.5))
    right = slope(loss, Z)
    message = "compile the function that calls" + "|must implement the jvp function" * gradient  # torch's own
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match=message):
        loss(forward_ad.make_dual(Z.clone().requires_grad_(gradient), TANGENT))
    torch.testing.assert_close(slope(loss, Z), right)


@pytest.mark.parametrize("name", ["binary", "binary of probabilities", "sparse", "linear"])
def test_forward_mode_around_what_was_compiled(name: str) -> None:
    loss = torch.compile(LOSSES[name])
    right = (slope(loss, Z) * TANGENT).sum()
    torch.testing.assert_close(jvp(lambda x: loss(x).sum(), (Z,), (TANGENT,))[1], right)


@pytest.mark.parametrize("name", ["binary", "categorical", "sparse"])
def test_training_by_the_default_backend(name: str) -> None:
    results = []
    for loss in LOSSES[name], torch.compile(LOSSES[name]):
        x = Z.clone().requires_grad_()
        optimizer = torch.optim.SGD([x], 0.5)
        for _ in range(3):
            optimizer.zero_grad()
            loss(x).mean().backward()
            optimizer.step()
        results.append(x.detach())
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("ignored", [1, 3])
def test_a_compiled_mean_is_over_what_is_not_ignored(ignored: int) -> None:
    """Its gradient is divided by the number of examples that are not ignored. INDEX holds class 1 twice, and no class
    3.
    """
    each = lambda x: ours.sparse_categorical_focal_loss(INDEX, x, 2, **LOGITS)  # noqa: E731
    mean = lambda x: ours.sparse_categorical_focal_loss(INDEX, x, 2, ignore_class=ignored, reduction="mean", **LOGITS)  # noqa: E731
    counted = torch.ne(INDEX, ignored)
    right = slope(lambda x: each(x)[counted].sum() / counted.sum(), Z)
    torch.testing.assert_close(slope(torch.compile(mean, backend="aot_eager", fullgraph=True), Z), right)
    torch.testing.assert_close(slope(mean, Z), right)


# ---------------------------------------------------------------------------------------------------------------
# Numbers that change under the compiler
# ---------------------------------------------------------------------------------------------------------------

VALUES = [0.03 + 0.12 * k for k in range(8)]
# Torch 2.12 does not keep every number dynamic, and may compile each anew.
MOST_COMPILATIONS = 2 if torch.__version__ >= "2.13" else len(VALUES) + 1
LABELS = {"elements": HARD, "average": HARD, "dense": SOFT, "sparse": INDEX}


def each_number() -> Iterator[tuple[str, Callable[[Tensor, float], Tensor]]]:
    """Each option of each loss that is a number, as a function of the predictions and of its value."""
    for loss in (*DECLARED, *UNLABELED):
        function, given = getattr(ours, loss.name), LOGITS | loss.options
        labels = [LABELS[loss.declared.layout]] if loss.declared.labeled else []
        plain = {name: 0.1 for name in ("clip", "epsilon") if name in loss.declared.options.declared()}
        for option, scale in (loss.scales | plain).items():
            change = lambda x, v, f=function, y=labels, g=given, o=option, k=scale: f(*y, x, **(g | {o: k * v}))  # noqa: E731
            yield f"{loss.name} {option}", change


CHANGING: dict[str, Callable[[Tensor, float], Tensor]] = {
    **dict(each_number()),
    "mean": lambda x, v: ours.binary_focal_loss(HARD, x, v, reduction="mean", **LOGITS),
    "normalizer": lambda x, v: ours.binary_focal_loss(HARD, x, 2, reduction="mean", normalizer=v, **LOGITS),
    "of probabilities": lambda x, v: ours.binary_focal_loss(HARD, x.sigmoid(), v, pos_weight=v),
    "ignored": lambda x, v: ours.sparse_categorical_focal_loss(INDEX, x, v, ignore_class=2, **LOGITS),
    "sigmoid gamma": lambda x, v: ours.sigmoid_focal_loss(x, SOFT, 0.25, v, "mean"),
    "sigmoid alpha": lambda x, v: ours.sigmoid_focal_loss(x, SOFT, v, 2),
}
MODULES: dict[str, tuple[torch.nn.Module, Tensor, str]] = {
    f"{loss.declared.class_name} {option}": (
        getattr(ours, loss.declared.class_name)(**{loss.focus: 0.5}, from_logits=True),
        LABELS[loss.declared.layout],
        option,
    )
    for loss in DECLARED
    if loss.declared.torch_module
    for option in ((loss.focus,) if loss in OWN_FORM else loss.scales)
}


def compilations(loss: Callable[..., Tensor], change: Callable[[float], tuple[Any, ...]]) -> int:
    """The number of compilations over `VALUES`. After each value the compiled loss and gradient equal the eager
    ones.
    """
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(loss, fullgraph=True, backend=counter)
    for value in VALUES:
        rest = change(value)
        results = []
        for function in (compiled, loss):
            x = Z.clone().requires_grad_()
            result = function(x, *rest)
            results.append((result.detach(), torch.autograd.grad(result.sum(), x)[0]))
        torch.testing.assert_close(*results)
    return counter.frame_count


@pytest.mark.parametrize("name", CHANGING)
def test_a_number_that_changes_compiles_once_more(name: str) -> None:
    """The compiler treats the first value as a constant, and the number as dynamic from the second on."""
    assert 2 <= compilations(CHANGING[name], lambda value: (value,)) <= MOST_COMPILATIONS


@pytest.mark.parametrize("name", MODULES)
def test_an_attribute_that_changes_compiles_once_more(name: str) -> None:
    module, labels, option = MODULES[name]
    setattr(module, option, 0.25)

    def change(value: float) -> tuple[()]:
        setattr(module, option, value)
        return ()

    assert 2 <= compilations(lambda x: module(labels, x), change) <= MOST_COMPILATIONS


# ---------------------------------------------------------------------------------------------------------------
# Traces, exports, and tensors without numbers
# ---------------------------------------------------------------------------------------------------------------

of_examples = pytest.mark.parametrize(
    "loss",
    [
        lambda x, y, t: ours.binary_focal_loss(y, x, 2, pos_weight=torch.ones(3, device=x.device), **LOGITS),
        lambda x, y, t: ours.binary_focal_crossentropy(y, x, True, **LOGITS),
        lambda x, y, t: ours.sigmoid_focal_loss(x, y),
        lambda x, y, t: ours.categorical_focal_loss(y, x, 2, class_weight=[1.0, 2.0, 3.0], **LOGITS),
        lambda x, y, t: ours.categorical_focal_crossentropy(y, x, **LOGITS),
        lambda x, y, t: ours.sparse_categorical_focal_loss(t, x, 2, ignore_class=1, reduction="mean", **LOGITS),
        lambda x, y, t: ours.sparse_categorical_focal_crossentropy(t, x.softmax(1)),
        lambda x, y, t: ours.linear_sparse_categorical_focal_loss(
            x, torch.ones(5, 3, dtype=F64, device=x.device), t, 2
        ),
        *(lambda x, y, t, loss=loss: loss(FRAMEWORK["torch"], y, x) for loss in OWN_FORM),
    ],
    ids=[
        "binary",
        "p_t_loss",
        "sigmoid",
        "dense",
        "dense crossentropy",
        "sparse",
        "sparse of probabilities",
        "linear",
        *map(str, OWN_FORM),
    ],
)


@of_examples
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_traces_and_exports_with_any_batch(loss: Callable[..., Tensor]) -> None:
    given = (Z, SOFT, INDEX)
    others = tuple(t[[2, 0, 1, 3, 0, 2]] for t in given)
    traced = torch.jit.trace(loss, given, check_trace=False)
    flipped = tuple(t.flip(0) for t in given)
    torch.testing.assert_close(traced(*flipped), loss(*flipped))

    class Module(torch.nn.Module):
        def forward(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
            return loss(x, y, t)

    batch = torch.export.Dim("batch")
    exported = torch.export.export(Module(), given, dynamic_shapes=({0: batch},) * 3)
    torch.testing.assert_close(exported.module()(*others), loss(*others))


@of_examples
def test_shapes_of_tensors_without_numbers(loss: Callable[..., Tensor]) -> None:
    expected = loss(Z, SOFT, INDEX)
    for given in (Z, SOFT, INDEX), (Z[:0], SOFT[:0], INDEX[:0]):
        meta = loss(*(t.to("meta") for t in given))
        assert (meta.shape[1:], meta.dtype, meta.is_meta) == (expected.shape[1:], expected.dtype, True)
    with FakeTensorMode() as mode:
        x, y, t = (mode.from_tensor(a) for a in (Z, SOFT, INDEX))
        found = loss(x.requires_grad_(), y, t)
        found.sum().backward()
        assert (found.shape, x.grad.shape) == (expected.shape, Z.shape)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_a_trace_of_class_indices_computes() -> None:
    labels = torch.tensor([0])
    loss = lambda x: ours.sparse_categorical_focal_loss(labels, x, 2, **LOGITS)  # noqa: E731
    traced = torch.jit.trace(loss, (torch.zeros(1, 3),), check_trace=False)
    torch.testing.assert_close(traced(torch.zeros(1, 3)), torch.tensor([0.488272128297]))


@of_examples
@pytest.mark.filterwarnings(
    "ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning", "ignore::UserWarning:torch.*"
)
def test_exports_to_onnx_by_the_trace(loss: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter knows only operators of ONNX, and raises for any other.

    Its last step, which adds functions of onnxscript, has nothing to add here but needs the package onnx.
    """
    last_step = "torch.onnx._internal.torchscript_exporter.onnx_proto_utils._add_onnxscript_fn"
    monkeypatch.setattr(last_step, lambda model, _: model)

    class Module(torch.nn.Module):
        def forward(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
            return loss(x, y, t)

    file = io.BytesIO()
    torch.onnx.export(Module(), (Z, SOFT, INDEX), file, dynamo=False, input_names=["x", "y", "t"])
    assert b"Log" in file.getvalue()
