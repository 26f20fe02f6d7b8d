"""The component's translator: the YAML field `translation`, and `get_asset_spec` to override.

Facts: Dagster resolves `translation` into a function of a spec and of what it stands for; in its
templates, `spec` is the asset as it looks so far and `props` what it stands for: `props.type`
(workflow, hog_function, insight, trigger, destination or table), `props.id` and `props.name`.
"""

from typing import Annotated, Protocol, TypeAlias

import dagster as dg
from dagster.components.utils.translation import TranslationFn, TranslationFnResolver

from hog_dagster.lineage import PostHogProps, PostHogTranslator

#: A field that changes how assets look, for all of them alike or by templates.
Translation: TypeAlias = (
    Annotated[
        TranslationFn[PostHogProps],
        TranslationFnResolver[PostHogProps](lambda props: {"props": props}),
    ]
    | None
)


class _Translating(Protocol):
    def get_asset_spec(self, props: PostHogProps) -> dg.AssetSpec: ...


class ComponentTranslator(PostHogTranslator):
    """Asks the component, whose method a user may have overridden."""

    def __init__(self, component: _Translating) -> None:
        self._component = component

    def get_asset_spec(self, props: PostHogProps) -> dg.AssetSpec:
        """The spec as the component gives it."""
        return self._component.get_asset_spec(props)
