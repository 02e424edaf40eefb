"""TRL as the oracle of preferences: its DPO and KTO trainers' losses on the same rows are ours."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch

from core.language.config import model_config
from core.language.group import group_logprobs
from core.language.model import load_model
from core.language.row import TokenGroup
from core.language.testing import tiny_language_model
from core.training.batch import GroupBatch
from core.training.config import DpoSettings, KtoSettings
from core.training.data import TrainingGroup, with_mismatched
from core.training.methods import method_of
from core.training.pairs import preference_pairs
from core.training.reference import attach, reference_logprobs

GROUPS = {
    "Pick one of these:": {" A": 1.0, " the second": 0.5, " C, I think": 0.25, " D": 0.0},
    "And now": {" go": 1.0, " stay where you are": 0.0},
    "Which one is the best of them all, and why?": {" B": 0.0, " none": 2.0, " all of them": 1.0},
}


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    """Weights that the policy's differ from: the reference."""
    return tiny_language_model(tmp_path_factory.mktemp("other") / "model", seed=1)


@pytest.fixture(scope="module")
def oracle(tiny, other, tmp_path_factory):
    """TRL's own trainer over rows, its policy, and the reference it has."""
    from datasets import Dataset  # noqa: PLC0415

    def make(name: str, rows: list[dict], **options):
        module = import_module(f"trl.trainer.{name.lower()}_trainer")
        settings = getattr(import_module(f"trl.trainer.{name.lower()}_config"), f"{name}Config")
        loaded, reference = (
            load_model(model_config(str(folder)), "fp32", torch.device("cpu")) for folder in (tiny, other)
        )
        trainer = getattr(module, f"{name}Trainer")(
            model=loaded.model,
            ref_model=reference.model,
            args=settings(
                output_dir=str(tmp_path_factory.mktemp("trl")),
                per_device_train_batch_size=len(rows),
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                report_to="none",
                **options,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=loaded.tokenizer,
        )
        return trainer, loaded.model.train(), reference.model

    return make


def compare(trainer, model, reference, groups: list[TrainingGroup], settings) -> float:
    """Both losses on all rows, to 1e-4, and their gradients, to 1e-3; the loss."""
    batch = GroupBatch.of(attach(groups, reference_logprobs(reference, groups)))
    loss, _ = method_of(settings).loss(group_logprobs(model, batch.tokens), batch, 0)
    expected = trainer.compute_loss(model, next(iter(trainer.get_train_dataloader())))
    ours, theirs = (
        torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.parameters()))])
        for value in (loss, expected)
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert theirs.norm() > 1e-3
    assert ours.norm().item() == pytest.approx(theirs.norm().item(), rel=1e-3)
    assert (ours - theirs).norm() < 1e-3 * theirs.norm()
    return loss.item()


def pair_rows(groups: dict[str, dict[str, float]], settings: DpoSettings) -> list[dict[str, str]]:
    rows = []
    for prompt, completions in groups.items():
        texts, rewards = list(completions), list(completions.values())
        tokens = [(place,) for place in range(len(texts))]
        rows += [
            {"prompt": prompt, "chosen": texts[better], "rejected": texts[worse]}
            for better, worse in preference_pairs(rewards, tokens, settings)
        ]
    return rows


def pair_groups(rows: list[dict[str, str]], prepared, groups) -> list[TrainingGroup]:
    """The groups of which the pairs were made, with TRL's own token ids."""
    prompts = {row["prompt"]: tuple(ids) for row, ids in zip(rows, prepared["prompt_ids"], strict=True)}
    tokens = {
        (row["prompt"], row[side]): tuple(ids)
        for side in ("chosen", "rejected")
        for row, ids in zip(rows, prepared[f"{side}_ids"], strict=True)
    }
    return [
        TrainingGroup(
            prompt,
            TokenGroup(prompts[prompt], tuple(tokens[prompt, text] for text in completions)),
            rewards=tuple(completions.values()),
        )
        for prompt, completions in groups.items()
    ]


@pytest.mark.slow
@pytest.mark.parametrize("pairs", ["all", "best"])
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({}, {}),
        ({"loss_type": ["ipo"]}, {"loss_type": "ipo"}),
        (
            {"loss_type": ["robust"], "label_smoothing": 0.2},
            {"loss_type": "robust", "label_smoothing": 0.2},
        ),
    ],
)
def test_the_dpo_loss_and_its_gradient_are_trls(oracle, theirs, ours, pairs):
    """Three groups, ten or six pairs, nine completions of many lengths: TRL computes each pair, we each completion."""
    settings = DpoSettings(beta=0.5, pairs=pairs, **ours)
    rows = pair_rows(GROUPS, settings)
    assert len(rows) == {"all": 10, "best": 6}[pairs]
    trainer, model, reference = oracle("DPO", rows, beta=0.5, **theirs)
    loss = compare(trainer, model, reference, pair_groups(rows, trainer.train_dataset, GROUPS), settings)
    assert abs(loss - 0.6931) > 1e-3


@pytest.mark.slow
def test_smoothed_labels_are_trls_on_a_pair(oracle):
    """TRL smooths 'sigmoid' labels only under the name 'aot', which on one pair is the same loss."""
    settings = DpoSettings(beta=0.5, label_smoothing=0.2)
    groups = {"And now": GROUPS["And now"]}
    rows = pair_rows(groups, settings)
    trainer, model, reference = oracle("DPO", rows, beta=0.5, loss_type=["aot"], label_smoothing=0.2)
    compare(trainer, model, reference, pair_groups(rows, trainer.train_dataset, groups), settings)


@pytest.mark.slow
def test_the_better_ones_likelihood_is_trls_on_a_pair(oracle):
    """TRL's 'sft' is the mean of a batch's tokens, which is a completion's own where there is one."""
    settings = DpoSettings(beta=0.5, nll_weight=0.3)
    groups = {"And now": GROUPS["And now"]}
    rows = pair_rows(groups, settings)
    trainer, model, reference = oracle(
        "DPO", rows, beta=0.5, loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.3]
    )
    loss = compare(trainer, model, reference, pair_groups(rows, trainer.train_dataset, groups), settings)
    assert loss > 1


@pytest.mark.slow
@pytest.mark.parametrize("weights", [(1.0, 1.0), (2.0, 0.5)])
@pytest.mark.parametrize("sharpness", [1.0, 4.0])
def test_the_kto_loss_and_its_gradient_are_trls(oracle, weights, sharpness):
    """Five prompts of one completion each, mismatched as TRL does it; a sharper reference gives a point above 0."""
    rows = [
        {"prompt": f"{place} {prompt}", "completion": text, "label": reward >= 1}
        for place, (prompt, completions) in enumerate([*GROUPS.items(), *list(GROUPS.items())[:2]])
        for text, reward in [list(completions.items())[place % 2]]
    ]
    trainer, model, reference = oracle(
        "KTO", rows, beta=0.5, desirable_weight=weights[0], undesirable_weight=weights[1]
    )
    with torch.no_grad():
        reference.lm_head.weight *= sharpness
    groups = [
        TrainingGroup(row["prompt"], TokenGroup(tuple(row["prompt_ids"]), (tuple(row["completion_ids"]),)))
        for row in trainer.train_dataset
    ]
    groups = [replace(group, rewards=(float(row["label"]),)) for group, row in zip(groups, rows, strict=True)]
    settings = KtoSettings(beta=0.5, desirable_weight=weights[0], undesirable_weight=weights[1])
    groups = with_mismatched(groups, 1000)
    compare(trainer, model, reference, groups, settings)
    assert (trainer._metrics["train"]["kl"][0] > 0) == (sharpness > 1)
