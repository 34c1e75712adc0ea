"""The maps to posteriors as modules of torch, and as last layers of exported models."""

from __future__ import annotations

import copy
import io
import re
import warnings
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from cases import torch_numpy, torch_tensor
from torch import Tensor, nn

from focal_loss import calibration
from focal_loss._core import posterior_maps
from focal_loss.torch import CategoricalPosteriorFromLogits, PosteriorFromLogits

INF, NAN = float("inf"), float("nan")
K = 3
BINARY: list[dict[str, Any]] = [
    *({"gamma": gamma} for gamma in (0, 0.5, 1, 2, 2.3, 10)),
    {"gamma": 2, "pos_weight": 0.25},
    {"gamma": 0, "pos_weight": 3.0},
    {"gamma": [0.5, 1.0, 2.0], "pos_weight": np.array([1.0, 2.0, 0.5])},
]
CATEGORICAL: list[dict[str, Any]] = [
    *({"gamma": gamma} for gamma in (0, 0.5, 2, 10)),
    {"gamma": 2, "class_weight": [1.0, 2.0, 0.5]},
    {"gamma": [0.0, 1.0, 2.5], "class_weight": 2.0},
    {"gamma": 1.5, "class_weight": [1.0, 2.0, 3.0], "logit_adjustment": [0.1, -0.2, 0.3]},
]
MAPS = {PosteriorFromLogits: BINARY, CategoricalPosteriorFromLogits: CATEGORICAL}
FUNCTIONS: dict[type, Any] = {
    PosteriorFromLogits: calibration.posterior_from_logits,
    CategoricalPosteriorFromLogits: calibration.categorical_posterior_from_logits,
}
ALL = [(kind, options) for kind, table in MAPS.items() for options in table]
every = pytest.mark.parametrize(("kind", "options"), ALL)
each_kind = pytest.mark.parametrize("kind", MAPS)


def logits() -> np.ndarray:
    """Ordinary logits, large ones, the largest of float32, infinities and NaN."""
    ordinary = np.random.default_rng(0).normal(0, 4, (60, K))
    sizes = [0.0, 1e-6, 0.03, 20.0, 60.0, 100.0, 1e4, -1e4, 3e38, -3e38]
    far = np.random.default_rng(1).choice(sizes, (60, K))
    return np.concatenate([ordinary, far, [[INF, 0, -INF], [1e4, INF, 0], [0, -INF, 1], [NAN, 0, 1], [0, NAN, INF]]])


def at(kind: type, options: dict[str, Any], z: Any, temperature: float = 1.0) -> np.ndarray:
    return FUNCTIONS[kind](np.asarray(z, np.float64) / temperature, **options)


@every
def test_values_are_those_of_calibration(kind: type, options: dict[str, Any]) -> None:
    z = logits()
    found = kind(**options)(torch.tensor(z))
    assert found.dtype == torch.float64
    np.testing.assert_allclose(torch_numpy(found), at(kind, options, z), rtol=1e-12, atol=1e-300)
    single = torch_tensor(z, "float32")
    np.testing.assert_array_equal(torch_numpy(kind(**options)(single)), torch_numpy(FUNCTIONS[kind](single, **options)))
    assert torch.isfinite(found[:-2]).all()


@each_kind
def test_a_temperature_divides_the_logits_first(kind: type) -> None:
    z = logits()[:60]
    found = kind(2, temperature=1.7)(torch.tensor(z))
    np.testing.assert_allclose(torch_numpy(found), at(kind, {"gamma": 2}, z, 1.7), rtol=1e-12)
    adjusted = CategoricalPosteriorFromLogits(2, logit_adjustment=[1.0, 0.0, -1.0], temperature=2.0)
    adjustment = np.array([1.0, 0.0, -1.0])
    right = at(CategoricalPosteriorFromLogits, {"gamma": 2}, z + adjustment, 2.0) / np.exp(adjustment)
    right /= right.sum(1, keepdims=True)
    np.testing.assert_allclose(torch_numpy(adjusted(torch.tensor(z))), right, rtol=1e-12)


def test_a_low_temperature_makes_no_finite_logit_infinite() -> None:
    far = torch.tensor([[3e38, 2e38, -3e38]])
    found = CategoricalPosteriorFromLogits(2, temperature=0.01)(far)
    assert found.tolist() == [[1.0, 0.0, 0.0]]
    assert PosteriorFromLogits(2, temperature=0.01)(far).tolist() == [[1.0, 1.0, 0.0]]
    infinite = CategoricalPosteriorFromLogits(2, temperature=0.5)(torch.tensor([[INF, 0.0, -INF]]))
    assert infinite.tolist() == [[1.0, 0.0, 0.0]]


def test_the_axis_of_the_classes() -> None:
    z, options = torch.tensor(logits()), {"class_weight": [1.0, 2.0, 0.5], "temperature": 1.3}
    last = CategoricalPosteriorFromLogits(2, **options)(z)
    first = CategoricalPosteriorFromLogits(2, **options, axis=0)(z.T)
    torch.testing.assert_close(first.T, last, equal_nan=True)


def test_a_fitted_temperature() -> None:
    """`FocalTemperature` and the modules agree."""
    rng = np.random.default_rng(3)
    z = rng.normal(size=(2000, K))
    y = (rng.random((2000, 1)) > calibration.categorical_posterior_from_logits(z, 2).cumsum(1)[:, :2]).sum(1)
    model = calibration.FocalTemperature(2, class_weight=[1, 2, 3]).fit(2 * z, y)
    module = CategoricalPosteriorFromLogits(2, class_weight=[1, 2, 3], temperature=model.temperature_)
    np.testing.assert_allclose(torch_numpy(module(torch.tensor(2 * z))), model.predict_proba(2 * z), rtol=1e-12)


@each_kind
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_rounded_once(kind: type, dtype: str) -> None:
    z = torch_tensor(np.random.default_rng(0).normal(0, 4, (60, K)), dtype)
    module = kind([0.5, 2.0, 3.0], temperature=1.7)
    found = module.to(z.dtype)(z)
    assert found.dtype == z.dtype
    assert torch.equal(found, module(z.float()).to(z.dtype))


def test_integers_become_float32() -> None:
    found = PosteriorFromLogits(2)(torch.tensor([-2, 0, 2]))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, [0.0045, 0.5, 0.9955], atol=5e-5)


@every
def test_gradients(kind: type, options: dict[str, Any]) -> None:
    module, z = kind(**options, temperature=1.3), torch.randn(4, K, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (z,))
    gamma = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
    learned = kind(**options | {"gamma": gamma})
    learned(z.detach())[:, 0].sum().backward()
    assert gamma.grad is not None
    assert gamma.grad != 0


def test_a_module_has_no_parameters_and_carries_its_arrays() -> None:
    assert list(PosteriorFromLogits(2, pos_weight=0.5).state_dict()) == []
    module = CategoricalPosteriorFromLogits([0.1, 1.0, 2.0], class_weight=[1.0, 2.0, 3.0])
    assert list(module.parameters()) == []
    assert list(module.state_dict()) == ["gamma", "class_weight"]
    z = torch.randn(5, K, dtype=torch.float64)
    exact = FUNCTIONS[type(module)](z, [0.1, 1.0, 2.0], class_weight=[1.0, 2.0, 3.0])
    torch.testing.assert_close(module(z), exact, rtol=0, atol=0)  # 0.1 is not float32's
    torch.testing.assert_close(copy.deepcopy(module)(z), exact, rtol=0, atol=0)
    assert repr(module) == (
        "CategoricalPosteriorFromLogits(logit_adjustment=None, axis=-1, temperature=1.0, gamma=[0.1, 1.0, 2.0], "
        "class_weight=[1.0, 2.0, 3.0])"
    )


# One of each form that the formula takes: with numbers, with arrays, and without a power.
EXPORTED = [
    *((PosteriorFromLogits, BINARY[k]) for k in (0, 4, -1)),
    *((CategoricalPosteriorFromLogits, CATEGORICAL[k]) for k in (2, -1)),
]


class Model(nn.Module):
    """A layer and maps after it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(K, K)
        self.maps = nn.ModuleList(kind(**options, temperature=1.5) for kind, options in EXPORTED)

    def forward(self, x: Tensor) -> list[Tensor]:
        z = self.layer(x)
        return [each(z) for each in self.maps]


def exact_layer(model: Model) -> Model:
    """The model with a layer that hands its input on, so that extreme logits reach the maps."""
    with torch.no_grad():
        model.layer.weight.copy_(torch.eye(K))
        model.layer.bias.zero_()
    return model


def inputs() -> Tensor:
    """Logits that a matrix product of an identity leaves as they are: no infinity, no NaN."""
    return torch_tensor(logits()[:110], "float32")


def assert_close(found: list[Any], right: list[Tensor], atol: float = 1e-6) -> None:
    assert len(found) == len(right) == len(EXPORTED)
    for value, exact in zip(found, right, strict=True):
        torch.testing.assert_close(torch.as_tensor(value), exact, rtol=0, atol=atol)


ANY_BATCH = ({0: torch.export.Dim("batch")},)


@pytest.mark.parametrize("strict", [True, False])
def test_a_program(strict: bool) -> None:
    """For any batch, with operators of torch alone after decomposition."""
    model = exact_layer(Model().eval())
    with torch.no_grad():
        right = model(inputs())
    program = torch.export.export(model, (inputs()[:5],), dynamic_shapes=ANY_BATCH, strict=strict)
    decomposed = program.run_decompositions()
    assert {node.target.namespace for node in decomposed.graph.nodes if hasattr(node.target, "namespace")} == {"aten"}
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    for each in (program, decomposed, torch.export.load(file)):
        assert_close(each.module()(inputs()), right)


@pytest.mark.parametrize("dynamo", [True, False])
def test_an_onnx_model(dynamo: bool) -> None:
    model, file = exact_layer(Model().eval()), io.BytesIO()
    with torch.no_grad():
        right = model(inputs())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters' own
        if dynamo:
            program = torch.onnx.export(
                model, (inputs()[:5],), dynamo=True, dynamic_shapes=ANY_BATCH, input_names=["x"], verbose=False
            )
            content = program.model_proto.SerializeToString()
        else:
            torch.onnx.export(
                model, (inputs()[:5],), file, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "batch"}}
            )
            content = file.getvalue()
    found = onnxruntime.InferenceSession(content).run(None, {"x": inputs().numpy()})
    assert_close(found, right)


def test_an_onnx_model_of_infinite_logits() -> None:
    """The maps alone, which a layer would hand NaN."""
    z = torch_tensor(logits()[-5:], "float32")
    for kind, options in ((PosteriorFromLogits, BINARY[-1]), (CategoricalPosteriorFromLogits, CATEGORICAL[-1])):
        module = kind(**options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(module, (z,), dynamo=True, input_names=["z"], verbose=False)
        session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
        found = session.run(None, {"z": z.numpy()})[0]
        torch.testing.assert_close(torch.from_numpy(found), module(z), rtol=0, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("dynamic", [None, True])
def test_compiled_and_vectorized(dynamic: bool | None) -> None:
    model = exact_layer(Model().eval())
    right = model(inputs())
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    assert_close([value.detach() for value in compiled(inputs())], [value.detach() for value in right])
    module = CategoricalPosteriorFromLogits(2, temperature=1.5)
    torch.testing.assert_close(torch.vmap(module)(inputs()), module(inputs()))


@pytest.mark.parametrize("dynamic", [None, True])
def test_compiled_functions(dynamic: bool | None) -> None:
    def posteriors(z: Tensor) -> list[Tensor]:
        return [
            calibration.posterior_from_logits(z, 2.0),
            calibration.categorical_posterior_from_logits(z, 2.0, class_weight=2.0),
            calibration.posterior_of_loss("asymmetric_loss", z),
            calibration.posterior_of_loss("poly1_focal_loss", z, gamma=2.0, pos_weight=3.0),
        ]

    compiled = torch.compile(posteriors, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for found, right in zip(compiled(inputs()), posteriors(inputs()), strict=True):
        torch.testing.assert_close(found, right, rtol=0, atol=1e-6)


@each_kind
def test_options_are_checked_at_construction(kind: type) -> None:
    spec = posterior_maps.Binary if kind is PosteriorFromLogits else posterior_maps.Categorical
    for name, (option, _) in spec.declared().items():
        refused = [row for row in option.kind.invalid if not (name == "axis" and isinstance(row[0], int))]
        assert refused
        for value, error, words in refused:
            with pytest.raises(error, match=f"^`{name}` {re.escape(words)}"):
                kind(**{"gamma": 2.0} | {name: value})


BAD: list[tuple[Any, Any, type[Exception], str]] = [
    (PosteriorFromLogits([1.0, 2.0]), torch.zeros(3), ValueError, "`gamma` of shape (2,) and `logits` of shape (3,)"),
    (PosteriorFromLogits(2), torch.zeros(3, dtype=torch.complex64), TypeError, "`logits` must be an array of real"),
    (
        CategoricalPosteriorFromLogits(2, axis=2),
        torch.zeros(2, 3),
        ValueError,
        "`axis` must be in [-2, 2) for `logits`",
    ),
    (
        CategoricalPosteriorFromLogits(2, class_weight=[1.0, 2.0]),
        torch.zeros(2, 3),
        ValueError,
        "`class_weight` must be a number or have one entry per class (3), got shape (2,)",
    ),
]


@pytest.mark.parametrize(("module", "z", "error", "message"), BAD)
def test_bad_logits(module: nn.Module, z: Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        module(z)


def test_names_of_other_libraries_get_an_answer() -> None:
    with pytest.raises(TypeError, match="`CategoricalPosteriorFromLogits` has no `dim`; pass `axis`"):
        CategoricalPosteriorFromLogits(2, dim=1)
    with pytest.raises(TypeError, match="`PosteriorFromLogits` has no `weight`; pass `pos_weight`"):
        PosteriorFromLogits(2, weight=1)
