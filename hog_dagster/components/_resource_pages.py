"""Resources for Dagster's UI: their pages show where things are, and no secret.

Facts: Dagster shows the fields of a resource with their values in clear text. Only an `EnvVar` is
shown by its name, and a value that YAML read from the environment is one no more. Of a resource
whose config has a default, the page shows that default, field by field.
"""

from typing import Any
from urllib.parse import urlsplit

import dagster as dg

_SECRET = "set; its value is kept off this page"


def hidden(resource: dg.ConfigurableResource[Any]) -> dg.ResourceDefinition:
    """The resource without its secrets, which Dagster's UI would show in clear text."""
    shown = shown_settings(resource)
    fields = type(resource).model_fields
    schema = {name: dg.Field(str, description=fields[name].description) for name in shown}

    def opened(context: dg.InitResourceContext) -> Any:
        if context.resource_config != shown:
            raise dg.Failure(
                f"The settings of {type(resource).__name__} cannot be changed in run config: "
                "change them where the project is defined.",
                allow_retries=False,
            )
        with resource.yield_for_execution(context) as ready:
            yield ready

    opened.__name__ = type(resource).__name__  # what the UI calls it
    what = (type(resource).__doc__ or "").strip().partition("\n\n")[0]
    described = f"{' '.join(what.split())} Secrets are kept off this page."
    config = dg.Field(schema, default_value=shown, is_required=False)
    return dg.resource(description=described, config_schema=config)(opened)


def shown_settings(resource: dg.ConfigurableResource[Any]) -> dict[str, str]:
    """The settings that are given, as text: of a secret URL the host and the path, of other
    secrets that they are set."""
    shown: dict[str, str] = {}
    for name, field in type(resource).model_fields.items():
        value = getattr(resource, name)
        if value is None or value == "":
            continue
        if hasattr(value, "env_var_name"):
            shown[name] = f"from the environment variable {value.env_var_name}"
        elif field.repr:
            shown[name] = _where(str(value)) if "://" in str(value) else str(value)
        else:
            shown[name] = _where(str(value))
    return shown


def _where(text: str) -> str:
    """Scheme, host, port and path of a URL; a sentence for what cannot be shown."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return _SECRET
    rest = parts.path + parts.query + parts.fragment
    if not parts.scheme or "://" not in text or "@" in rest:  # A password may hold any sign.
        return _SECRET
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"
