"""Completions drawn by a vLLM server through its OpenAI-compatible API (`POST /v1/completions`).

The server holds weights of its own: a model, or an adapter it was told to load. The log-probabilities that come with the
completions are those of that served policy, the one that drew them, so a ratio to them is right even when training has
moved on; how far it may have moved on is for the trainer's guards to say. vLLM repeats draws of one seed only as far as its own
arithmetic repeats.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import openai

from core.errors import ConfigError, DataError, ServiceError, one_line
from core.language.distribution import only
from core.language.rollout import Rollout
from core.language.sampling import SamplingSettings, VllmRollouts
from core.language.tree import Tokens

API_KEY = "VLLM_API_KEY"
"""The environment variable that holds the server's key, where it asks for one."""
_AT_ONCE = 16
_CERTAIN = 1e-6


class ServedPolicy:
    """A policy that a vLLM server holds.

    Raises: ConfigError for sampling whose distribution the server can't tell: what it is told to leave out of a
    distribution (top-p, a schema) does not come back, so the same mask could not stand in the ratio.
    """

    def __init__(
        self, server: VllmRollouts, settings: SamplingSettings, *, stops: Tokens, vocabulary: int
    ) -> None:
        """`stops` are the tokens that end a completion, `vocabulary` how many words the trained model has."""
        refusal = server.refusal(settings)
        if refusal:
            raise ConfigError(refusal)
        self._server, self._settings, self._stops, self._vocabulary = server, settings, stops, vocabulary
        self._client = openai.OpenAI(
            base_url=server.url,
            api_key=os.environ.get(API_KEY, "none"),
            timeout=server.timeout_s,
        )
        self._tells_what_was_drawn = False

    def rollouts(
        self,
        prompts: Sequence[Tokens],
        count: int,
        *,
        seeds: Sequence[int],
        choices: Sequence[Sequence[Tokens]] | None = None,
    ) -> list[Rollout]:
        """As core/language/rollout.py, of the policy that is served.

        Raises: ServiceError when the server can't be reached or breaks off; ConfigError when it refuses, knows no such
        model, or leaves out what is needed; DataError.
        """
        legal = [None] * len(prompts) if choices is None else [_letters(answers) for answers in choices]
        if prompts and (choices is not None or self._settings.temperature != 1.0):
            self._check_logprobs(prompts[0])
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(self._of_prompt, prompts, [count] * len(prompts), seeds, legal))

    def _of_prompt(self, prompt: Tokens, count: int, seed: int, legal: Tokens | None) -> Rollout:
        asked: dict[str, Any] = {"max_tokens": self._settings.max_tokens}
        if legal is not None:
            asked = {"max_tokens": 1, "allowed_token_ids": list(legal)}
        answers = self._ask(prompt, asked | {"n": count, "seed": seed})
        if len(answers) != count:
            raise ConfigError(
                f"{self._server.url} gave {len(answers)} completions of {count}: it must take `n`"
            )
        drawn = [self._tokens(answer) for answer in answers]
        finished = [legal is not None or answer.finish_reason == "stop" for answer in answers]
        return Rollout(
            prompt=tuple(prompt),
            completions=tuple(tokens for tokens, _ in drawn),
            logprobs=tuple(logprobs for _, logprobs in drawn),
            finished=tuple(finished),
            allowed=tuple(self._allowed(tokens, legal) for tokens, _ in drawn),
        )

    def _ask(self, prompt: Tokens, asked: dict[str, Any]) -> list[Any]:
        """One request; everything a server may have defaults of its own for is said."""
        own = {name: value for name, value in asked.items() if name == "allowed_token_ids"}
        usual = {name: value for name, value in asked.items() if name not in own}
        with _translated(self._server):
            found = self._client.completions.create(
                model=self._server.model,
                prompt=list(prompt),
                temperature=self._settings.temperature,
                top_p=1.0,
                logprobs=1,
                stop=list(self._settings.stop) or None,
                presence_penalty=0.0,
                frequency_penalty=0.0,
                extra_body={
                    "top_k": 0,
                    "min_p": 0.0,
                    "repetition_penalty": 1.0,
                    "stop_token_ids": list(self._stops),
                    "include_stop_str_in_output": True,
                    "return_token_ids": True,
                    **own,
                },
                **usual,
            )
        return sorted(found.choices, key=lambda answer: answer.index)

    def _tokens(self, answer: Any) -> tuple[Tokens, tuple[float, ...]]:
        """Tokens and log-probabilities of one completion. Raises: ConfigError when the server left them out."""
        tokens = (answer.model_extra or {}).get("token_ids")
        logprobs = answer.logprobs.token_logprobs if answer.logprobs else None
        if not tokens:
            raise ConfigError(
                f"{self._server.url} gives no token ids: rollouts need a vLLM that knows `return_token_ids`"
            )
        if not logprobs or len(logprobs) != len(tokens) or None in logprobs:
            raise ConfigError(
                f"{self._server.url} gives no log-probability for every token: it must take `logprobs`"
            )
        if max(logprobs) > _CERTAIN:
            raise ConfigError(
                f"{self._server.url} gives numbers above 0 for log-probabilities: "
                "start it with `--logprobs-mode processed_logprobs`"
            )
        if max(tokens) >= self._vocabulary:
            raise ConfigError(
                f"{self._server.url} answers with token {max(tokens)} and the trained model has {self._vocabulary}: "
                f"'{self._server.model}' there must be the same model"
            )
        return tuple(tokens), tuple(logprobs)

    def _check_logprobs(self, prompt: Tokens) -> None:
        """A token that was the only one allowed is certain, unless the server tells of another distribution."""
        if self._tells_what_was_drawn:
            return
        (answer,) = self._ask(prompt, {"max_tokens": 1, "allowed_token_ids": [prompt[-1]], "n": 1, "seed": 0})
        _, (logprob,) = self._tokens(answer)
        if abs(logprob) > _CERTAIN:
            raise ConfigError(
                f"{self._server.url} gives log-probabilities from before temperature and legal answers are applied: "
                "start it with `--logprobs-mode processed_logprobs`"
            )
        self._tells_what_was_drawn = True

    def _allowed(self, tokens: Tokens, legal: Tokens | None) -> Any:
        if legal is None:
            return None
        if not set(tokens) <= set(legal):
            raise ConfigError(f"{self._server.url} drew an illegal answer: it must take `allowed_token_ids`")
        return np.stack([only(legal, self._vocabulary)] * len(tokens))


def _letters(answers: Sequence[Tokens]) -> Tokens:
    """Legal answers of one token each. Raises: DataError, ConfigError."""
    if not answers:
        raise DataError("a choice without a legal answer: leave such states out")
    if any(len(answer) != 1 for answer in answers):
        raise ConfigError(
            "rollout backend 'vllm' can't be held to legal answers of several tokens: use backend 'torch'"
        )
    return tuple(sorted({answer[0] for answer in answers}))


@contextmanager
def _translated(server: VllmRollouts) -> Iterator[None]:
    try:
        yield
    except openai.APITimeoutError as error:
        raise ServiceError(
            f"{server.url} did not answer within {server.timeout_s:g} s: raise rollout.timeout_s, or ask for less"
        ) from error
    except openai.APIConnectionError as error:
        raise ServiceError(
            f"no vLLM server answers at {server.url}: start it, or correct rollout.url"
        ) from error
    except openai.NotFoundError as error:
        raise ConfigError(
            f"{server.url} knows no model '{server.model}' ({one_line(error)}): name one that it serves in rollout.model"
        ) from error
    except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
        raise ConfigError(f"{server.url} asks for a key: put it into the environment as {API_KEY}") from error
    except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
        raise ConfigError(f"{server.url} refuses what it was asked: {one_line(error)}") from error
    except openai.APIError as error:
        raise ServiceError(f"{server.url} broke off: {one_line(error)}; look at its own log") from error
