"""TRL as the oracle: its GRPO and SFT losses on the same completions are ours."""

import random
from dataclasses import replace
from importlib import import_module

import pytest
import torch

from core.dataset import write_snapshot
from core.language.config import model_config
from core.language.group import group_logprobs
from core.language.model import load_model
from core.language.row import TokenGroup
from core.training.answers import Answers
from core.training.batch import GroupBatch
from core.training.config import GrpoSettings, SftSettings
from core.training.data import TrainingGroup, load_groups
from core.training.drawing import draws_of
from core.training.methods import method_of
from core.training.reference import attach, reference_logprobs

PROMPT, LENGTHS = 12, (1, 4, 2, 6)
LISTED = {"completions": [" A", " BB", " CCC", " B C"], "rewards": [0.0, 1.0, 0.0, 0.0]}


@pytest.fixture(scope="module")
def oracle(tiny, tmp_path_factory):
    """TRL's own loss function on a tiny model, without the rest of its trainer's run."""
    trl = import_module("trl.trainer.grpo_trainer")
    from datasets import Dataset  # noqa: PLC0415
    from trl.trainer.grpo_config import GRPOConfig  # noqa: PLC0415

    def make(loss_type: str, beta: float):
        loaded = load_model(model_config(str(tiny)), "fp32", torch.device("cpu"))
        arguments = GRPOConfig(
            output_dir=str(tmp_path_factory.mktemp("trl")),
            per_device_train_batch_size=4,
            num_generations=4,
            loss_type=loss_type,
            beta=beta,
            use_bias_correction_kl=False,  # the paper's KL, without a ratio
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
        )
        trainer = trl.GRPOTrainer(
            model=loaded.model,
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=arguments,
            train_dataset=Dataset.from_dict({"prompt": ["x"] * 4}),
            processing_class=loaded.tokenizer,
        )
        trainer.current_gradient_accumulation_steps = 1
        return trainer, loaded.model.train()

    return make


def padded(rows: list[list[float]], kind: torch.dtype) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *([0] * (width - len(row)))] for row in rows], dtype=kind)


@pytest.mark.slow
@pytest.mark.parametrize(("loss_type", "ours"), [("grpo", "sequence"), ("bnpo", "token")])
@pytest.mark.parametrize("beta", [0.0, 0.1])
@pytest.mark.parametrize("scale", ["std", 1.0])
def test_the_grpo_loss_and_its_gradient_are_trls(oracle, loss_type, ours, beta, scale):
    """Old log-probabilities that differ from the new, four lengths, with and without KL: loss to 1e-4, gradient to 1e-3."""
    trainer, model = oracle(loss_type, beta)
    stream = random.Random(0)
    group = TrainingGroup(
        "one",
        TokenGroup(
            tuple(stream.randrange(250) for _ in range(PROMPT)),
            tuple(tuple(stream.randrange(250) for _ in range(length)) for length in LENGTHS),
        ),
        rewards=(0.0, 1.0, 0.3, 0.5),
    )
    now = reference_logprobs(model, [group]).tolist()
    batch = GroupBatch.of(attach([group], torch.tensor([value + stream.gauss(0, 0.3) for value in now])))
    settings = GrpoSettings(
        estimator="logged", beta=beta, loss_type=ours, advantage_scale=scale, std_floor=1e-4
    )
    loss, _ = method_of(settings).loss(group_logprobs(model, batch.tokens), batch, 0)
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])

    old = [part.tolist() for part in batch.reference_N.split(list(LENGTHS))]
    rewards = torch.tensor(group.rewards)
    spread = rewards.std() + 1e-4 if scale == "std" else 1.0
    completions = [list(completion) for completion in group.tokens.completions]
    expected = trainer._compute_loss(
        model,
        {
            "prompt_ids": torch.tensor([group.tokens.prompt] * 4),
            "prompt_mask": torch.ones(4, PROMPT, dtype=torch.long),
            "completion_ids": padded(completions, torch.long),
            "completion_mask": padded([[1] * length for length in LENGTHS], torch.long),
            "advantages": (rewards - rewards.mean()) / spread,
            "old_per_token_logps": padded(old, torch.float32),
            "ref_per_token_logps": padded(old, torch.float32),
            "num_items_in_batch": torch.tensor(float(sum(LENGTHS))),
        },
    )
    theirs = torch.cat([g.flatten() for g in torch.autograd.grad(expected, list(model.parameters()))])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert abs(loss.item()) > 1e-3
    assert (gradient - theirs).norm() < 1e-3 * theirs.norm()


@pytest.mark.slow
@pytest.mark.parametrize(("loss_type", "ours"), [("grpo", "sequence"), ("bnpo", "token")])
def test_an_online_steps_loss_and_gradient_are_trls(oracle, tiny, tmp_path, loss_type, ours):
    """Six prompts answered by the policy itself: groups of equal rewards, which we leave out, count there as here."""
    trainer, model = oracle(loss_type, 0.0)
    tokenizer = load_model(model_config(str(tiny))).tokenizer
    rows = [{"id": str(n), "prompt": f"Pick {n}:", "split": "train", **LISTED} for n in range(6)]
    settings = GrpoSettings(
        estimator="online",
        online={"answers": "listed", "sampling": {"max_tokens": 6}},
        group_size=4,
        beta=0.0,
        loss_type=ours,
        advantage_scale=1.0,
    )
    data = load_groups(write_snapshot(tmp_path / "rows", "grpo", rows), tokenizer, settings, 256)
    drawn = draws_of(settings, model, tokenizer, data).batch(data.train, 0)
    answers = Answers(model, tokenizer, settings.online, count=4, seed=0, start=None)
    every = [one.group for one in answers.draw(data.train, 0)]
    assert 0 < len(drawn.groups) < len(every)

    def shifted(groups):
        return GroupBatch.of(
            [
                replace(
                    group,
                    behaviour=tuple(
                        value - 0.1 * len(group.id) * (place % 3)
                        for place, value in enumerate(group.behaviour)
                    ),
                )
                for group in groups
            ]
        )

    # TRL has no listed answers: both sides compute the ratio over all tokens
    batch = shifted([replace(group, allowed=()) for group in drawn.groups])
    loss = drawn.weight * method_of(settings).loss(group_logprobs(model, batch.tokens), batch, 0)[0]
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])

    completions = [list(part) for group in every for part in group.tokens.completions]
    old = shifted(every).old_N.split([len(part) for part in completions])
    width = len(every[0].tokens.prompt)
    assert {len(group.tokens.prompt) for group in every} == {width}
    rewards = torch.tensor([group.rewards for group in every])
    expected = trainer._compute_loss(
        model,
        {
            "prompt_ids": torch.tensor([group.tokens.prompt for group in every for _ in range(4)]),
            "prompt_mask": torch.ones(len(completions), width, dtype=torch.long),
            "completion_ids": padded(completions, torch.long),
            "completion_mask": padded([[1] * len(part) for part in completions], torch.long),
            "advantages": (rewards - rewards.mean(1, keepdim=True)).flatten(),
            "old_per_token_logps": padded([part.tolist() for part in old], torch.float32),
            "num_items_in_batch": torch.tensor(float(sum(map(len, completions)))),
        },
    )
    theirs = torch.cat([g.flatten() for g in torch.autograd.grad(expected, list(model.parameters()))])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert abs(loss.item()) > 1e-3
    assert (gradient - theirs).norm() < 1e-3 * theirs.norm()


@pytest.mark.slow
def test_the_sft_loss_and_its_gradient_are_trls(tiny, tmp_path):
    """Three prompts with completions of many lengths: one mean over all completion tokens, prompts left out."""
    from datasets import Dataset  # noqa: PLC0415

    module, config = (import_module(f"trl.trainer.sft_{part}") for part in ("trainer", "config"))
    loaded = load_model(model_config(str(tiny)), "fp32", torch.device("cpu"))
    texts = {"Pick one:": " A", "And now, what?": " stay where you are", "Why": " nobody knows"}
    trainer = module.SFTTrainer(
        model=loaded.model,
        args=config.SFTConfig(
            output_dir=str(tmp_path),
            per_device_train_batch_size=len(texts),
            loss_type="nll",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to="none",
        ),
        train_dataset=Dataset.from_list(
            [{"prompt": prompt, "completion": text} for prompt, text in texts.items()]
        ),
        processing_class=loaded.tokenizer,
    )
    inputs = next(iter(trainer.get_train_dataloader()))
    groups = [
        TrainingGroup(
            str(number),
            TokenGroup(tuple(ids[trained == -100].tolist()), (tuple(trained[trained != -100].tolist()),)),
            weights=(1.0,),
        )
        for number, (ids, labels, seen) in enumerate(
            zip(inputs["input_ids"], inputs["labels"], inputs["attention_mask"], strict=True)
        )
        for ids, trained in [(ids[seen == 1], labels[seen == 1])]
    ]
    model = loaded.model.train()
    batch = GroupBatch.of(groups)
    loss, _ = method_of(SftSettings()).loss(group_logprobs(model, batch.tokens), batch, 0)
    expected = trainer.compute_loss(model, inputs)
    ours, theirs = (
        torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.parameters()))])
        for value in (loss, expected)
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert (ours - theirs).norm() < 1e-3 * theirs.norm()
