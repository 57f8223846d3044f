"""The older completions of Anthropic's first models, on its own servers and on Bedrock's: prompts that are turns.

https://docs.anthropic.com/en/api/complete.
"""

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
"""How a turn of either side begins."""


def as_turn(prompt: str) -> str:
    """The prompt as a turn of the user's, after which it is the model's; what is one already stays as it is."""
    if prompt.startswith(f"{HUMAN} ".lstrip()):
        prompt = "\n\n" + prompt
    elif not prompt.startswith(f"{HUMAN} "):
        prompt = f"{HUMAN} {prompt}"
    return prompt if prompt.endswith(ASSISTANT) else prompt + ASSISTANT


def text_finish(reason: str | None) -> str:
    """Why a text ends, in OpenAI's words."""
    return "stop" if reason == "stop_sequence" else "length"
