#!/usr/bin/env python3
"""Adapter over a running server with the OpenAI-like /v1/completions, such as llama.cpp's or vLLM.

completions.py version URL
completions.py run URL          speaks the engine protocol; URL is like http://127.0.0.1:8080

The server is started by whoever brings it, with its own model and threads. Prompts are sent as token ids and ids must
come back: text would have to go through a tokenizer. What a server does not say of itself is answered as 0.
"""
import json
import sys
import urllib.error
import urllib.request

# Straight to the URL: a proxy would be timed too.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
GREEDY = {"temperature": 0, "top_k": 1, "seed": 1, "stream": False, "ignore_eos": True, "cache_prompt": False,
          "return_tokens": True, "return_token_ids": True}
WITH_LOGPROBS = {"logprobs": 1, "return_tokens_as_token_ids": True}


def call(url, body=None, seconds=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with OPENER.open(request, timeout=seconds) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        said = error.read(1000).decode(errors="replace").replace("\n", " ")
        raise ValueError(f"{url}: {error.code} {said[:300]}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{url}: {getattr(error, 'reason', error)}") from None


def ids_of(answer):
    """Ids of the generated tokens, wherever this server puts them; None where it gives text alone."""
    choice = answer["choices"][0]
    probabilities = choice.get("logprobs") or {}
    for ids in (choice.get("token_ids"), choice.get("tokens"), answer.get("tokens"),
                (answer.get("__verbose") or {}).get("tokens")):
        if isinstance(ids, list) and ids:
            return ids
    content = probabilities.get("content") or []
    if content and all("id" in token for token in content):
        return [token["id"] for token in content]
    tokens = probabilities.get("tokens") or []
    if tokens and all(str(token).startswith("token_id:") for token in tokens):
        return [int(token.split(":")[1]) for token in tokens]
    return None


class Server:
    def __init__(self, url):
        self.url, self.more, self.model = url.rstrip("/").removesuffix("/v1"), None, {}

    def complete(self, ids, count, **more):
        body = {**GREEDY, "prompt": ids, "max_tokens": count, **more}
        if "id" in self.model:
            body["model"] = self.model["id"]
        return call(self.url + "/v1/completions", body)

    def version(self):
        self.model = call(self.url + "/v1/models", seconds=5)["data"][0]
        words = [self.model.get("owned_by") or "server", self.model.get("id") or ""]
        for path, key in (("/props", "build_info"), ("/version", "version")):
            try:
                words.append(call(self.url + path, seconds=2).get(key) or "")
            except (ValueError, AttributeError):
                pass
        return " ".join(word for word in words if word)

    def scores(self):
        """Whether the server gives the probabilities of a prompt."""
        try:
            return self.losses([1, 2, 1]) is not None
        except (ValueError, KeyError, IndexError, TypeError):
            return False

    def losses(self, ids):
        """Nats of every id but the first, or None."""
        answer = self.complete(ids, 1, echo=True, logprobs=1)
        found = ((answer["choices"][0].get("logprobs") or {}).get("token_logprobs") or [])[:len(ids)]
        return [-value for value in found[1:]] if len(found) == len(ids) and found[0] is None else None

    def describe(self, _):
        version = self.version()
        return {"name": "completions", "version": version, "requests": ["generate"] + ["score"] * self.scores()}

    def load(self, asked):
        """The server has its model. Finds out how it gives ids: asking for probabilities too costs time."""
        self.version()
        for more in ({}, {"verbose": True}, WITH_LOGPROBS):
            if ids_of(self.complete([1], 2, **more)) is not None:
                self.more = more
                break
        else:
            raise ValueError("the server answers text without token ids")
        about = self.model.get("meta") or {}
        return {"vocabulary": about.get("n_vocab", 0), "threads": 0, "head_bits": 0, "cache": "", "batch": 0,
                "activations": ""}

    def generate(self, asked):
        if self.more is None:
            raise ValueError("no model is loaded")
        answer = self.complete(asked["ids"], asked["count"], **self.more)
        ids = ids_of(answer)
        if ids is None:
            raise ValueError("the server answers text without token ids")
        times = answer.get("timings") or {}
        nanoseconds = [round(times.get(key, 0) * 1e6) for key in ("prompt_ms", "predicted_ms")]
        return {"ids": ids, "prompt_ns": nanoseconds[0], "decode_ns": nanoseconds[1]}

    def score(self, asked):
        ids, window = asked["ids"], asked["window"]
        windows = (len(ids) - 1) // window
        if not windows:
            raise ValueError("fewer ids than a window has")
        total = 0.0
        for start in range(0, windows * window, window):
            losses = self.losses(ids[start:start + window + 1])
            if losses is None:
                raise ValueError("the server gives no probabilities of a prompt")
            total += sum(losses)
        return {"nats": total / (windows * window), "positions": windows * window, "rule": "every",
                "feeding": "a window and its last target as one prompt"}


def main(arguments):
    if len(arguments) != 2 or arguments[0] not in ("version", "run"):
        sys.exit("usage: completions.py version|run URL")
    server = Server(arguments[1])
    if arguments[0] == "version":
        try:
            print(server.version())
        except (ValueError, KeyError, IndexError, TypeError) as error:
            sys.exit(f"no server with /v1/models: {error}")
        return
    for line in sys.stdin:
        try:
            asked = json.loads(line)
            if asked["request"] == "quit":
                return
            requests = {"describe": server.describe, "load": server.load, "generate": server.generate,
                        "score": server.score}
            answer = requests[asked["request"]](asked)
        except Exception as error:  # whatever it is, the harness is told
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
