"""Whatever the OpenAPI document allows, and much that it does not, is asked by
Schemathesis."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what it imports
    schemathesis = pytest.importorskip(
        "schemathesis", reason="needs schemathesis (extra dev)"
    )
    from schemathesis.generation import GenerationMode
    from schemathesis.specs.openapi.checks import (
        negative_data_rejection,
        positive_data_acceptance,
    )

# Random bytes fit the type of a file, and are no image: they have to be refused. In a
# form all is text, so that any value fits a field of text.
NOT_OURS = [positive_data_acceptance, negative_data_rejection]

ROUTES = {
    "/caption": ["POST"],
    "/explain": ["POST"],
    "/scan": ["POST"],
    "/scan/{job_id}": ["GET", "DELETE"],
    "/scan/{job_id}/result": ["GET"],
    "/info": ["GET"],
    "/health": ["GET"],
    "/ready": ["GET"],
    "/metrics": ["GET"],
}
OPERATIONS = [
    (method, path, GenerationMode.POSITIVE)
    for path, methods in ROUTES.items()
    for method in methods
]
# only what takes a form can be asked with what the document does not allow
OPERATIONS += [
    (method, path, GenerationMode.NEGATIVE) for method, path, _ in OPERATIONS[:3]
]


@pytest.fixture(scope="module")
def schema(address: str) -> Any:
    found = schemathesis.openapi.from_url(f"{address}openapi.json")
    told = found.raw_schema["paths"].items()
    assert {
        path: [method.upper() for method in methods] for path, methods in told
    } == ROUTES
    return found


@pytest.mark.parametrize(("method", "path", "mode"), OPERATIONS)
@pytest.mark.filterwarnings("default")  # what it does inside is its own matter
def test_every_answer_is_as_the_document_says(
    schema: Any, method: str, path: str, mode: GenerationMode
) -> None:
    operation = schema[path][method]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    def ask(case: Any) -> None:
        answer = case.call()
        case.validate_response(answer, excluded_checks=NOT_OURS)

    ask()
