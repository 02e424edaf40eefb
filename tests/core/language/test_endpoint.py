"""Rollouts from an OpenAI-compatible server: a real one over HTTP, strict about what it is asked."""

import numpy as np
import pytest

from core.errors import ConfigError, DataError, ServiceError
from core.language.endpoint import ServedPolicy
from core.language.sampling import SamplingSettings, VllmRollouts

PROMPTS = [(5, 6, 7), (8, 9)]
STOP = 2
EXPECTED = {
    "model": "night-7",
    "temperature": 1.0,
    "top_p": 1.0,
    "logprobs": 1,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "stop_token_ids": [STOP],
    "include_stop_str_in_output": True,
    "return_token_ids": True,
}
"""What every request says; the rest is the prompt's."""


def policy(server, **settings) -> ServedPolicy:
    served = VllmRollouts(backend="vllm", url=server.url, model="night-7", timeout_s=5)
    return ServedPolicy(
        served, SamplingSettings(**({"max_tokens": 3} | settings)), stops=(STOP,), vocabulary=30
    )


def test_a_servers_completions_are_rollouts(server, monkeypatch):
    """Token ids in and out, in order, with the server's log-probabilities; what max_tokens cut is not finished."""
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    rows = policy(server, stop=("\n\n",)).rollouts(PROMPTS, 3, seeds=[10, 11])
    assert [row.prompt for row in rows] == PROMPTS
    assert rows[0].completions == ((20, STOP), (21, 21, STOP), (22, 22, 22))
    assert rows[0].finished == (True, True, False)
    assert rows[0].logprobs == ((-3.5,) * 2, (-3.5,) * 3, (-3.5,) * 3)
    assert rows[1].logprobs[0] == (-4.5, -4.5)
    assert rows[0].allowed == (None, None, None)
    asked = sorted(server.asked, key=lambda one: one[0]["seed"])
    for (request, key), prompt, seed in zip(asked, PROMPTS, [10, 11], strict=True):
        own = {"prompt": list(prompt), "n": 3, "seed": seed, "max_tokens": 3, "stop": ["\n\n"]}
        assert request == EXPECTED | own
        assert key == "Bearer secret"


def test_letters_are_chosen_by_the_server_among_the_legal_ones(server):
    """One token is drawn, its set is known, and it is whole."""
    rows = policy(server, temperature=0.5).rollouts(PROMPTS, 4, seeds=[1, 2], choices=[[(7,), (9,)], [(9,)]])
    assert rows[0].completions == ((7,), (9,), (7,), (9,))
    assert all(rows[0].finished)
    bits = [np.flatnonzero(np.unpackbits(one[0], bitorder="little")).tolist() for one in rows[0].allowed]
    assert bits == [[7, 9]] * 4
    assert rows[1].logprobs == ((0.0,),) * 4
    probe, *others = [request for request, _ in server.asked]
    assert (probe["allowed_token_ids"], probe["max_tokens"], probe["n"]) == ([7], 1, 1)
    assert sorted(request["allowed_token_ids"] for request in others) == [[7, 9], [9]]
    assert {request["max_tokens"] for request in others} == {1}
    assert {request["temperature"] for request in others} == {0.5}


def test_a_server_that_tells_of_another_distribution_is_found_out(server):
    """By one token that could not have been another: as it matters, before anything is drawn."""
    server.processed = False
    policy(server).rollouts(PROMPTS, 2, seeds=[1, 2])
    assert len(server.asked) == 2
    for settings, choices in (({"temperature": 0.7}, None), ({}, [[(7,)], [(9,)]])):
        with pytest.raises(ConfigError, match="--logprobs-mode processed_logprobs"):
            policy(server, **settings).rollouts(PROMPTS, 2, seeds=[1, 2], choices=choices)
    assert len(server.asked) == 4


def first(body: dict) -> dict:
    return body["choices"][0]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda body: first(body).pop("token_ids"), "return_token_ids"),
        (lambda body: first(body).pop("logprobs"), "must take `logprobs`"),
        (lambda body: first(body)["logprobs"]["token_logprobs"].pop(), "must take `logprobs`"),
        (lambda body: first(body)["logprobs"]["token_logprobs"].__setitem__(0, 3.0), "numbers above 0"),
        (lambda body: first(body)["token_ids"].__setitem__(0, 30), "must be the same model"),
        (lambda body: body["choices"].pop(), "2 completions of 3"),
    ],
)
def test_what_a_server_leaves_out_is_one_clear_line(server, change, match):
    """No rollout is made of an answer that lacks anything."""
    server.change = change
    with pytest.raises(ConfigError, match=match) as found:
        policy(server).rollouts(PROMPTS, 3, seeds=[1, 2])
    assert "\n" not in str(found.value)
    assert server.url in str(found.value)


@pytest.mark.parametrize(
    ("status", "kind", "match"),
    [
        (404, ConfigError, "knows no model 'night-7'"),
        (401, ConfigError, "asks for a key: put it into the environment as VLLM_API_KEY"),
        (400, ConfigError, "refuses what it was asked: .*too long"),
        (500, ServiceError, "broke off: .*too long"),
    ],
)
def test_a_servers_refusals_are_translated(server, status, kind, match, monkeypatch):
    """Each kind of refusal says what to do."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.001)
    server.refuse = (status, "the prompt is too long")
    with pytest.raises(kind, match=match):
        policy(server).rollouts(PROMPTS, 1, seeds=[1, 2])


def test_no_server_is_one_clear_line(server, monkeypatch):
    """Nobody listens at the address."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.001)
    server.shutdown()
    server.server_close()
    with pytest.raises(ServiceError, match=r"no vLLM server answers at http://127\.0\.0\.1"):
        policy(server).rollouts(PROMPTS, 1, seeds=[1, 2])


def test_what_a_server_can_not_do_is_said_before_it_is_asked(server):
    """Top-p, a schema and answers of several tokens need the sets that no server gives back."""
    for settings in ({"top_p": 0.9}, {"json_schema": {"type": "object"}}):
        with pytest.raises(ConfigError, match=f"has no sampling.{next(iter(settings))}"):
            policy(server, **settings)
    with pytest.raises(ConfigError, match="answers of several tokens"):
        policy(server).rollouts(PROMPTS, 1, seeds=[1, 2], choices=[[(1, 2)], [(1,)]])
    with pytest.raises(DataError, match="without a legal answer"):
        policy(server).rollouts(PROMPTS, 1, seeds=[1, 2], choices=[[], [(1,)]])
    with pytest.raises(ValueError, match="must begin with http"):
        VllmRollouts(backend="vllm", url="localhost:8000", model="m")
    assert not server.asked
