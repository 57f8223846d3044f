"""Bedrock's routes: a model of each vendor that has completions of its own."""

from typing import Any

MODELS = {
    "ai21": "ai21.j2-ultra-v1",
    "amazon": "amazon.titan-text-express-v1:0:8k",
    "anthropic": "anthropic.claude-v2:1",
    "cohere": "cohere.command-text-v14",
}

PAIR = {
    "aws_region": "us-west-2",
    "aws_access_key_id": "AKIDPEER",
    "aws_secret_access_key": "peer-secret",
    "aws_session_token": "peer-token",
}


def endpoints(upstream: str) -> list[dict[str, Any]]:
    """A route of each vendor; boto3 is sent to the upstream by mlflow's launcher."""
    from tests.peer.routes import CHAT, COMPLETIONS, EMBEDDINGS, endpoint

    config = {"aws_config": PAIR, "bedrock_api_base": upstream}
    titan = MODELS["amazon"]
    return [
        *(
            endpoint("bedrock", model, config, COMPLETIONS, name=f"bedrock-{vendor}")
            for vendor, model in MODELS.items()
        ),
        endpoint("amazon-bedrock", titan, config, COMPLETIONS),
        endpoint("bedrock", titan, config, CHAT),
        endpoint("bedrock", "amazon.titan-embed-text-v1", config, EMBEDDINGS),
        endpoint("bedrock", "meta.llama3-8b-instruct-v1:0", config, COMPLETIONS, name="bedrock-meta"),
    ]
