"""The Meilisearch API: one module per resource, each `parse -> service -> response`."""

from miroir.api.admission import Admission, Aside
from miroir.api.batch_routes import BatchResource
from miroir.api.bodies import BodyBudget
from miroir.api.document_routes import DocumentResource
from miroir.api.feature_routes import FeatureResource
from miroir.api.idempotency import IdempotencyKeys
from miroir.api.index_routes import IndexResource
from miroir.api.key_routes import KeyResource
from miroir.api.leaving import Clients
from miroir.api.multi_search_routes import MultiSearchResource
from miroir.api.name_routes import NameResource
from miroir.api.plane import DataPlane
from miroir.api.refused import register_refused
from miroir.api.routing import Router
from miroir.api.search_routes import SearchResource
from miroir.api.selection_routes import SelectionResource
from miroir.api.settings_routes import SettingsResource
from miroir.api.system import SystemResource
from miroir.api.task_routes import TaskResource
from miroir.api.unknown import UnknownPaths
from miroir.api.webhook_routes import WebhookResource

__all__ = [
    "Admission",
    "Aside",
    "BatchResource",
    "BodyBudget",
    "Clients",
    "DataPlane",
    "DocumentResource",
    "FeatureResource",
    "IdempotencyKeys",
    "IndexResource",
    "KeyResource",
    "MultiSearchResource",
    "NameResource",
    "Router",
    "SearchResource",
    "SelectionResource",
    "SettingsResource",
    "SystemResource",
    "TaskResource",
    "UnknownPaths",
    "WebhookResource",
    "register_refused",
]
