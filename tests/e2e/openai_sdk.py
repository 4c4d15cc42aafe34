"""OpenAI's own client against chat routes that Anthropic and Google answer.

    SIGNALBOX_TOKEN=… openai_sdk.py GATEWAY ROUTE…

Asks each route as an application would; ends with 1 and the first thing that is not as the client's users know it. The
model of every route answers with an echo, or calls the tool that is offered. Routes `busy` and `off` refuse.
"""

import asyncio
import json
import os
import sys
from typing import Any

import openai

MODEL = "gpt-4o"
QUESTION = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a stock?"}]
ECHO = "You said: What is a stock?"
CITY = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Tomorrow's weather", "parameters": CITY}}]
WANTED = {"city": "Paris", "days": 1}
ANSWER_SECS = 20


def client(gateway: str, route: str, token: str | None = None) -> openai.OpenAI:
    token = token or os.environ["SIGNALBOX_TOKEN"]
    return openai.OpenAI(base_url=f"{gateway}/r/{route}/v1", api_key=token, max_retries=0, timeout=ANSWER_SECS)


def whole(ai: openai.OpenAI) -> Any:
    answer = ai.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0.5, max_tokens=100)
    assert answer.choices[0].message.role == "assistant" and answer.choices[0].message.content == ECHO, answer
    assert answer.choices[0].finish_reason == "stop" and answer.model == MODEL, answer
    assert answer.object == "chat.completion" and answer.id and answer.created > 1_700_000_000, answer
    usage = answer.usage
    assert usage.prompt_tokens > 0 and usage.completion_tokens > 0, usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage
    return usage


def streamed(ai: openai.OpenAI, usage: Any) -> None:
    options = {"include_usage": True}
    chunks = list(ai.chat.completions.create(model=MODEL, messages=QUESTION, stream=True, stream_options=options))
    said = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(said) == ECHO and len([text for text in said if text]) > 2, said
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"], chunks
    assert {chunk.id for chunk in chunks} == {chunks[0].id} and chunks[-1].usage.total_tokens == usage.total_tokens, chunks
    plain = list(ai.chat.completions.create(model=MODEL, messages=QUESTION, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in plain), plain


def calls_a_tool(ai: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "Paris"}]
    answer = ai.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS, tool_choice="auto")
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None, answer
    [call] = choice.message.tool_calls
    assert call.type == "function" and call.function.name == "weather" and call.id, call
    assert json.loads(call.function.arguments) == WANTED, call

    # The client's own way to put a stream together, and the next turn made of what it gives.
    with ai.chat.completions.stream(model=MODEL, messages=messages, tools=TOOLS) as stream:
        names = [event.name for event in stream if event.type == "tool_calls.function.arguments.delta"]
        message = stream.get_final_completion().choices[0].message
    assert names and set(names) == {"weather"}, names
    [call] = message.tool_calls
    assert json.loads(call.function.arguments) == WANTED, call
    result = {"role": "tool", "tool_call_id": call.id, "content": "20 degrees"}
    further = [*messages, message.model_dump(exclude_none=True), result]
    answer = ai.chat.completions.create(model=MODEL, messages=further, tools=TOOLS)
    assert "20 degrees" in answer.choices[0].message.content, answer
    assert answer.choices[0].finish_reason == "stop", answer


async def side_by_side(gateway: str, route: str) -> None:
    token = os.environ["SIGNALBOX_TOKEN"]
    url = f"{gateway}/r/{route}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key=token, max_retries=0, timeout=ANSWER_SECS) as ai:

        async def ask(n: int) -> None:
            messages = [{"role": "user", "content": f"Number {n} of many"}]
            stream = await ai.chat.completions.create(model=MODEL, messages=messages, stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            assert text == f"You said: Number {n} of many", text

        await asyncio.gather(*(ask(n) for n in range(8)))


def refused(kind: type[openai.APIStatusError], status: int, ai: openai.OpenAI, **more: Any) -> openai.APIStatusError:
    for stream in (False, True):
        try:
            ai.chat.completions.create(**{"model": MODEL, "messages": QUESTION, "stream": stream, **more})
        except kind as error:
            assert error.status_code == status and error.message and isinstance(error.body, dict), error
            last = error
        else:
            raise AssertionError(f"was not refused with {kind.__name__}")
    return last


def main() -> None:
    gateway, *routes = sys.argv[1:]
    for route in routes:
        ai = client(gateway, route)
        assert MODEL in [model.id for model in ai.models.list()], route
        streamed(ai, whole(ai))
        calls_a_tool(ai)
        asyncio.run(side_by_side(gateway, route))
        error = refused(openai.BadRequestError, 400, ai, top_p=7)
        assert error.param == "top_p", error.body
    first = routes[0]
    refused(openai.AuthenticationError, 401, client(gateway, first, "sb" + "t_of-nobody_0123456789"))
    refused(openai.NotFoundError, 404, client(gateway, f"{first}-not"))
    error = refused(openai.RateLimitError, 429, client(gateway, "busy"))
    assert int(error.response.headers["retry-after"]) >= 1, error.response.headers
    refused(openai.InternalServerError, 503, client(gateway, "off"))
    print("ok")


if __name__ == "__main__":
    main()
