"""What is public, and that it documents itself."""

import inspect
import re
from collections.abc import Callable
from types import ModuleType

import pytest

import threadwise as tw
import threadwise.sklearn
from surface import MODULES

PUBLIC = {
    tw: {
        "Calibration",
        "Info",
        "Measured",
        "NumaHint",
        "PackedWeight",
        "Plan",
        "WorkDistribution",
        "WorkStats",
        "__version__",
        "calibrate",
        "data",
        "errors",
        "explain",
        "get_num_threads",
        "inference",
        "info",
        "linalg",
        "linear",
        "matmul",
        "models",
        "nn",
        "pack",
        "parallel",
        "plan",
        "quant",
        "reset_work_stats",
        "samples",
        "scaling",
        "set_num_threads",
        "shard",
        "threads",
        "train",
        "work",
        "work_stats",
        "workflows",
    },
    tw.data: {"Cursor", "DataLoader", "Subset"},
    tw.inference: {
        "Predictions",
        "Uncertainty",
        "predict_batches",
        "predict_with_uncertainty",
    },
    tw.linalg: {"Activation", "PackedWeight", "linear", "matmul", "pack"},
    tw.models: {
        "CausalLM",
        "Generation",
        "KvCache",
        "ModelConfig",
        "Piece",
        "Stream",
        "Timings",
        "load",
    },
    tw.nn: {"attention", "rms_norm", "rope", "softmax", "swiglu"},
    tw.parallel: {
        "Advice",
        "Checked",
        "Failure",
        "ThreadExecutor",
        "advise",
        "map",
        "register_joblib",
    },
    tw.plan: {"Calibration", "Measured", "Plan", "calibrate", "explain"},
    tw.quant: {
        "Progress",
        "ProgressBar",
        "QuantConfig",
        "QuantReport",
        "QuantizedModel",
        "QuantizedTensor",
        "TensorReport",
        "load_quantized",
        "quantize",
        "quantize_model",
        "validate",
    },
    tw.scaling: {
        "AmdahlFit",
        "Attribution",
        "Environment",
        "GustafsonFit",
        "Probe",
        "ScalingPoint",
        "ScalingResult",
        "USLFit",
        "amdahl_analysis",
        "benchmark",
        "gustafson_analysis",
        "karp_flatt",
        "usl_analysis",
    },
    tw.samples: {"names", "path"},
    tw.train: {
        "MLP",
        "SGD",
        "Adam",
        "AdamW",
        "ConstantRate",
        "CosineRate",
        "EarlyStopping",
        "EpochReport",
        "GradientAccumulator",
        "Gradients",
        "History",
        "Huber",
        "OneCycleRate",
        "Optimizer",
        "Schedule",
        "StepRate",
        "WarmupRate",
        "aggregate_gradients",
        "clip_by_global_norm",
        "fit",
        "load_checkpoint",
        "parallel_gradients",
        "save_checkpoint",
    },
    tw.work: {
        "NumaHint",
        "WorkDistribution",
        "WorkStats",
        "WorkerStats",
        "reset_work_stats",
        "work_stats",
    },
    tw.shard: {
        "Communicator",
        "HeadPlan",
        "ParallelConfig",
        "Pipeline",
        "PipelineConfig",
        "PipelineReport",
        "PipelineState",
        "SelfComm",
        "TensorParallelConfig",
        "TensorParallelStrategy",
        "ThreadComm",
        "all_reduce_sum",
        "all_reduce_sum_inplace",
        "attention_parallel",
        "column_parallel_linear",
        "mlp_tensor_parallel",
        "row_parallel_linear",
    },
    threadwise.sklearn: {"MLPClassifier", "MLPRegressor"},
    tw.workflows: {
        "CrossValidation",
        "Ensemble",
        "Fold",
        "GridSearch",
        "GroupKFold",
        "KFold",
        "Mapped",
        "Scaling",
        "StratifiedKFold",
        "TimeSeriesSplit",
        "Trial",
        "augment",
        "cross_validate",
        "elementwise",
        "ensemble_predict",
        "extract_features",
        "grid_search",
        "matvec_batch",
        "min_max",
        "preprocess",
        "rolling",
        "standardize",
        "windows",
    },
    tw.errors: {
        "CommunicationError",
        "DTypeError",
        "DomainError",
        "FormatError",
        "LayoutError",
        "ShapeError",
        "StorageError",
        "ThreadwiseError",
    },
}

CALLABLE: dict[str, Callable[..., object]] = {
    "calibrate": tw.calibrate,
    "explain": tw.explain,
    "NumaHint": tw.NumaHint,
    "WorkDistribution": tw.WorkDistribution,
    "get_num_threads": tw.get_num_threads,
    "info": tw.info,
    "linear": tw.linear,
    "matmul": tw.matmul,
    "reset_work_stats": tw.reset_work_stats,
    "pack": tw.pack,
    "set_num_threads": tw.set_num_threads,
    "threads": tw.threads,
    "work_stats": tw.work_stats,
}

MODELS: dict[str, Callable[..., object]] = {
    "models.load": tw.models.load,
    "CausalLM.cache": tw.models.CausalLM.cache,
    "CausalLM.forward": tw.models.CausalLM.forward,
    "CausalLM.generate": tw.models.CausalLM.generate,
    "CausalLM.perplexity": tw.models.CausalLM.perplexity,
    "ModelConfig.load": tw.models.ModelConfig.load,
    "ModelConfig.of": tw.models.ModelConfig.of,
    "samples.path": tw.samples.path,
}
"""What language models are used through."""

FOUND = {"Calibration", "Info", "Measured", "PackedWeight", "Plan", "WorkStats"}
"""What functions answer with, which nobody else makes."""

SURE = {"info", "reset_work_stats", "work_stats"}
"""What cannot go wrong."""

OPERATIONS = [tw.linear, tw.matmul, tw.nn.rms_norm, tw.pack]


def test_every_module_without_an_underscore_is_public() -> None:
    assert {module.__name__ for module in MODULES} == {module.__name__ for module in PUBLIC}


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_exactly_these_names_are_public(module: ModuleType) -> None:
    assert set(module.__all__) == PUBLIC[module]
    assert list(module.__all__) == sorted(module.__all__)


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_nothing_else_looks_public(module: ModuleType) -> None:
    ours = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("threadwise")
    }
    arguments = {"FloatArray", "FloatArrayLike", "WorkDistribution"}
    assert ours - arguments <= set(module.__all__)


def test_all_that_can_be_called_is_held_to_its_documentation() -> None:
    called = {name for name in tw.__all__ if callable(getattr(tw, name))} - FOUND
    assert called == set(CALLABLE)


def _sections(of: object) -> dict[str, str]:
    text = inspect.cleandoc(of.__doc__ or "")
    parts = re.split(r"^(\w[\w ]*)\n-+$", text, flags=re.MULTILINE)
    return dict(zip(["", *parts[1::2]], [parts[0], *parts[2::2]], strict=True))


@pytest.mark.parametrize("name", CALLABLE)
def test_each_has_the_sections_that_it_needs(name: str) -> None:
    function = CALLABLE[name]
    sections, signature = _sections(function), inspect.signature(function)
    needed = {"Examples"}
    needed |= {"Parameters"} if signature.parameters else set()
    needed |= (
        {"Returns"} if signature.return_annotation not in (None, inspect.Signature.empty) else set()
    )
    needed |= {"Raises"} if name not in SURE else set()
    needed |= {"References", "Notes"} if function in OPERATIONS else set()
    assert needed <= set(sections)
    first_line = sections[""].splitlines()[0]
    assert first_line.endswith(".")


@pytest.mark.parametrize("name", sorted(PUBLIC[tw.shard] - {"Communicator", "PipelineReport"}))
def test_what_ranks_and_stages_take_is_documented_in_order(name: str) -> None:
    found = getattr(tw.shard, name)
    sections, signature = _sections(found), inspect.signature(found)
    if name in {"SelfComm", "TensorParallelStrategy", "ThreadComm"}:
        assert sections[""]
    else:
        assert {"Parameters", "Raises"} <= set(sections)
        documented = re.findall(r"^(\w+(?:, \w+)*) : .*$", sections["Parameters"], re.MULTILINE)
        assert ", ".join(documented).split(", ") == list(signature.parameters)


@pytest.mark.parametrize("name", [*CALLABLE, *MODELS])
def test_each_parameter_is_documented_in_order(name: str) -> None:
    function = (CALLABLE | MODELS)[name]
    section = _sections(function).get("Parameters", "")
    documented = re.findall(r"^\**(\w+)(?: : .*)?$", section, re.MULTILINE)
    parameters = list(inspect.signature(function).parameters)
    assert documented == [parameter for parameter in parameters if parameter != "self"]


@pytest.mark.parametrize("name", MODELS)
def test_each_way_to_use_a_model_says_what_can_go_wrong(name: str) -> None:
    assert {"Parameters", "Raises"} <= set(_sections(MODELS[name]))


@pytest.mark.parametrize("error", sorted(PUBLIC[tw.errors]))
def test_each_error_says_what_it_means(error: str) -> None:
    kind = getattr(tw.errors, error)
    assert kind.__doc__
    assert kind.__doc__ != kind.__base__.__doc__


def test_each_exception_that_an_operation_raises_is_documented_with_it() -> None:
    for operation in OPERATIONS:
        raises = _sections(operation)["Raises"]
        assert {name for name in PUBLIC[tw.errors] if name in raises} == (
            PUBLIC[tw.errors]
            - {"CommunicationError", "FormatError", "StorageError", "ThreadwiseError"}
        )


def test_the_version_is_a_python_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", tw.__version__)
