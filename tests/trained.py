"""One of the processes of `test_trainers.py`: tiny models, trained by the trainers of transformers and Lightning and
under FSDP.

Called with rank, number of processes and a folder; the first writes what it found there.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
import torch.distributed as dist
import transformers
from accelerate.state import AcceleratorState
from torch import Tensor
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
from transformers import BertConfig, GPT2Config, LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments
from transformers.modeling_outputs import CausalLMOutputWithPast

from focal_loss.torch import FocalLoss
from focal_loss.torch.compat.transformers import causal_focal_loss, compute_loss_func

VOCABULARY, CLASSES, TOKENS, ROWS, STEPS = 16, 3, 6, 24, 3
BERT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "num_labels": CLASSES,
}
LLAMA = LlamaConfig(
    vocab_size=VOCABULARY,
    hidden_size=8,
    intermediate_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    tie_word_embeddings=True,
    pad_token_id=None,
)
GPT2 = GPT2Config(
    vocab_size=VOCABULARY,
    n_positions=TOKENS,
    n_embd=8,
    n_layer=2,
    n_head=2,
    resid_pdrop=0,
    embd_pdrop=0,
    attn_pdrop=0,
    bos_token_id=None,
    eos_token_id=None,
)
Results = dict[str, Any]


class FocalLlamaForCausalLM(LlamaForCausalLM):
    def forward(self, input_ids=None, labels=None, num_items_in_batch=None, **inputs):
        if labels is None:
            return super().forward(input_ids, **inputs)
        options = {"num_items_in_batch": num_items_in_batch, "shift_labels": inputs.pop("shift_labels", None)}
        hidden = self.model(input_ids, **inputs).last_hidden_state
        return CausalLMOutputWithPast(loss=causal_focal_loss(hidden, self.lm_head.weight, labels, 2.0, **options))


def plain_mean(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | None = None) -> Tensor:
    """The mean over the micro-batch, over the number of these: a mean of means."""
    loss = FocalLoss(gamma=2.0)(outputs["logits"][:, :-1].transpose(1, 2), labels[:, 1:])
    return loss / int(os.environ.get("MICRO_BATCHES", "1"))


def bert(kind: str, **options: Any) -> Callable[[], Any]:
    return lambda: getattr(transformers, kind)(BertConfig(**BERT, **options))


def causal() -> Any:
    return transformers.GPT2LMHeadModel(GPT2)


def exactly_counted() -> Any:
    """A model of whose labels the trainer does not count the first, which nothing predicts; its name lacks
    `ForCausalLM`.
    """
    model = causal()
    model.loss_type = "ForCausalLM"
    return model


# Name -> the model, its labels, what computes the loss.
CASES: dict[str, tuple[Callable[[], Any], str, Any]] = {
    "causal": (causal, "tokens", compute_loss_func(2.0, shift=True)),
    "causal, fused": (lambda: FocalLlamaForCausalLM(LLAMA), "tokens", None),
    "causal, counted": (exactly_counted, "tokens", compute_loss_func(2.0, shift=True)),
    "causal, a mean of means": (exactly_counted, "tokens", plain_mean),
    "causal, cross-entropy": (causal, "tokens", compute_loss_func(0.0, shift=True)),
    "causal, its own loss": (causal, "tokens", None),
    "tokens": (
        bert("BertForTokenClassification"),
        "classes of tokens",
        compute_loss_func([1.0, 2.0, 3.0], alpha=[1.0, 0.5, 2.0], label_smoothing=0.1),
    ),
    "sequences": (bert("BertForSequenceClassification"), "classes", compute_loss_func(2.0)),
    "sequences, many labels": (
        bert("BertForSequenceClassification", problem_type="multi_label_classification"),
        "many",
        compute_loss_func(2.0, alpha=0.25),
    ),
}
# Name -> rows a device and micro-batch, micro-batches, pretended devices.
SPLITS = {
    1: {"1 x 8": (8, 1, 1), "4 x 2": (2, 4, 1), "2 devices": (4, 1, 2), "2 devices, 2 x 2": (2, 2, 2)},
    2: {"2 x 4": (4, 1, 1), "2 x 2 x 2": (2, 2, 1)},
}


def examples(kind: str) -> list[dict[str, Tensor]]:
    """Rows of tokens whose labels are ignored in very uneven numbers."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(VOCABULARY, (ROWS, TOKENS), generator=generator)
    kept = torch.arange(TOKENS) < torch.randint(1, TOKENS + 1, (ROWS, 1), generator=generator) ** 2 // TOKENS + 1
    labels = {
        "tokens": torch.where(kept, ids, -100),
        "classes of tokens": torch.where(kept, ids % CLASSES, -100),
        "classes": torch.where(kept[:, 3], ids[:, 0] % CLASSES, -100),
        "many": torch.where(kept[:, :CLASSES], (ids[:, :CLASSES] % 2).double(), -100.0),
    }[kind]
    return [{"input_ids": i, "labels": label} for i, label in zip(ids, labels, strict=True)]


def parameters(model: torch.nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def trainer(case: str, split: tuple[int, int, int], folder: str) -> Trainer:
    rows, micro_batches, devices = split
    make, kind, loss = CASES[case]
    torch.manual_seed(0)
    arguments = TrainingArguments(
        output_dir=folder,
        max_steps=STEPS,
        per_device_train_batch_size=rows,
        per_device_eval_batch_size=ROWS // int(os.environ.get("WORLD_SIZE", "1")),
        gradient_accumulation_steps=micro_batches,
        learning_rate=0.5,
        lr_scheduler_type="constant",
        optim="sgd",
        max_grad_norm=0.0,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        ddp_find_unused_parameters=False,
    )
    arguments._n_gpu = devices  # `DataParallel` without devices calls the model itself
    os.environ["MICRO_BATCHES"] = str(micro_batches)
    return Trainer(make().double(), arguments, train_dataset=examples(kind), compute_loss_func=loss)


def trained(size: int, folder: str) -> Results:
    """The parameters of each case after a few steps, and losses of evaluations."""
    found = {}
    for case in CASES:
        for name, split in SPLITS[size].items():
            if split[2] > 1 and CASES[case][2] is None:
                continue  # each device would compute a loss of its own
            run = trainer(case, split, folder)
            start = parameters(run.model)
            run.train()
            found[case, name] = parameters(run.model), start
            if name in ("1 x 8", "2 x 4"):
                found[case, "evaluated"] = run.evaluate(examples(CASES[case][1]))["eval_loss"]
    return found


class Head(torch.nn.Module):
    """A model that is its own loss."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(VOCABULARY, 8)
        self.layer = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Tanh())
        self.head = torch.nn.Linear(8, VOCABULARY, bias=False)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor, labels: Tensor, count: Tensor, unshard: bool = False) -> Tensor:
        if unshard:
            self.head.unshard()
        hidden = self.layer(self.embedding(tokens))
        return causal_focal_loss(hidden, self.head.weight, labels, 2.0, num_items_in_batch=count)


# Name -> tied weights, modules to shard alone, whether the loss calls `unshard`.
SHARDINGS: dict[str, tuple[bool, list[Any], bool]] = {
    "root": (False, [], False),
    "layers": (False, ["layer"], False),
    "head": (False, ["head"], False),
    "head, unsharded": (False, ["head"], True),
    "tied": (True, [], False),
    "tied, grouped": (True, [("embedding", "head")], False),
}


def sharded(rank: int, size: int) -> Results:
    """The gradients under `fully_shard`, of the mean over the batches of all processes, or the error."""
    batch = examples("tokens")[:8]
    tokens, labels = (torch.stack([row[name] for row in batch]) for name in ("input_ids", "labels"))
    count = (labels[:, 1:] != -100).sum()
    mine = slice(rank * 8 // size, (rank + 1) * 8 // size)
    found: Results = {}
    for name, (tied, alone, unshard) in SHARDINGS.items():
        torch.manual_seed(0)
        model = Head(tied).double()
        if size > 1:
            for part in alone:
                fully_shard([getattr(model, p) for p in part] if isinstance(part, tuple) else getattr(model, part))
            fully_shard(model)
        try:
            (model(tokens[mine], labels[mine], count, unshard and size > 1) * size).backward()
        except TypeError as error:
            found[name] = str(error)
            continue
        gradients = [p.grad for p in model.parameters()]
        found[name] = torch.cat([(g.full_tensor() if isinstance(g, DTensor) else g).flatten() for g in gradients])
    return found


class Classifier(lightning.LightningModule):
    def __init__(self, features, classes):
        super().__init__()
        self.layer = torch.nn.Linear(features, classes)

    def configure_model(self):
        self.loss = FocalLoss(gamma=2.0, group=torch.distributed.is_initialized())

    def training_step(self, batch, index):
        x, y = batch
        return self.loss(self.layer(x), y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.5)


def by_lightning(size: int, folder: str) -> Tensor:
    """The parameters after a few steps, each of 8 examples over all processes. Alone it is torch that takes them."""
    torch.manual_seed(0)
    labels = torch.stack([row["labels"] for row in examples("classes")])
    data = TensorDataset(torch.randn(ROWS, 4, dtype=torch.float64), labels)
    model = Classifier(4, CLASSES).double()
    if size == 1:
        optimizer = model.configure_optimizers()
        for x, y in DataLoader(data, 8):
            optimizer.zero_grad()
            FocalLoss(gamma=2.0)(model.layer(x), y).backward()
            optimizer.step()
        return parameters(model)
    run = lightning.Trainer(
        accelerator="cpu",
        devices=size,
        strategy="ddp",
        use_distributed_sampler=False,
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    # Lightning's own sampler would shuffle.
    run.fit(model, DataLoader(data, 8 // size, sampler=DistributedSampler(data, shuffle=False)))
    return parameters(model)


def found(rank: int, size: int, folder: str) -> Results:
    return {
        "trained": trained(size, folder),
        "sharded": sharded(rank, size),
        "lightning": by_lightning(size, folder),
    }


def main(rank: int, size: int, folder: str) -> None:
    warnings.simplefilter("error")
    # Lightning calls what torch is about to remove, and advises more workers.
    warnings.filterwarnings("ignore", module="lightning|typing_extensions")
    results = {}
    if rank == 0:
        results[1] = found(0, 1, folder)
        AcceleratorState._reset_state(reset_partial_state=True)
    # The trainers ask for more than a rank, of which they make nothing where there is a group already.
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": "1", "OMP_NUM_THREADS": "1"}
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    results[size] = found(rank, size, folder)
    if rank == 0:
        torch.save(results, Path(folder, "results.pt"))
    dist.barrier()
    # Exit without closing the group: Gloo aborts a process whose peer left a moment before.
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
