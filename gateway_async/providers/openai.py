"""OpenAI, on its own servers or on Azure.

https://platform.openai.com/docs/api-reference and
https://learn.microsoft.com/azure/ai-services/openai/reference: Azure names the deployment and the API's version in
the address instead of the model in the body.
"""

from urllib.parse import quote

from gateway_async.config import Model, OpenAIAPIType, OpenAIConfig, RouteType
from gateway_async.providers._requests import join_url, path_part
from gateway_async.providers.openai_format.adapter import PATHS, OpenAIAdapter


class OpenAI:
    """The provider `openai`."""

    name = "openai"
    route_types = frozenset(RouteType)

    def bind(self, model: Model, kind: RouteType) -> OpenAIAdapter:
        """The adapter for one model of OpenAI or one deployment of Azure."""
        config = model.config
        assert isinstance(config, OpenAIConfig)
        key = str(config.openai_api_key)
        return OpenAIAdapter(
            provider=self.name,
            kind=kind,
            url=_url(config, PATHS[kind]),
            headers=_headers(config, key),
            model=model.name if config.openai_api_type is OpenAIAPIType.OPENAI else None,
        )


def _url(config: OpenAIConfig, path: str) -> str:
    base = config.openai_api_base or "https://api.openai.com/v1"
    if config.openai_api_version is not None:
        base += f"{'&' if '?' in base else '?'}api-version={quote(config.openai_api_version, safe='')}"
    if config.openai_api_type is OpenAIAPIType.OPENAI:
        return join_url(base, path)
    return join_url(base, "openai", "deployments", path_part(config.openai_deployment_name or ""), path)


def _headers(config: OpenAIConfig, key: str) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if config.openai_api_type is OpenAIAPIType.AZURE:
        headers["api-key"] = key
    else:
        headers["Authorization"] = f"Bearer {key}"
    if config.openai_organization:
        headers["OpenAI-Organization"] = config.openai_organization
    return headers


provider = OpenAI()
