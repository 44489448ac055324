"""The task type `research_synthesis`: a question, where the documents are, and how well it must be covered.
Light: pydantic only. It never fetches.
"""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from app.tasks.task_type import (
    ParameterRisk,
    ParameterSpec,
    Payload,
    PreparedTask,
    TaskType,
    reserve_price_parameter,
    timeout_parameter,
)

PASSAGES_DEFAULT = 6
DOCUMENTS_MAX = 50
Url = Annotated[str, StringConstraints(max_length=2_000, pattern=r"^https?://[^\s/@]+(/\S*)?$")]
Folder = Annotated[str, StringConstraints(max_length=500, pattern=r"^[\w-][\w.-]*(/[\w-][\w.-]*)*$")]

EXAMPLE: dict[str, Any] = {
    "question": "How does escrow protect the agents and the requester in a market?",
    "urls": [
        "http://127.0.0.1:8099/documents/escrow",
        "http://127.0.0.1:8099/documents/sealed-bids",
        "http://127.0.0.1:8099/documents/double-entry",
    ],
    "minimum_citations": 3,
}


class ResearchPayload(Payload):
    """Answer `question` from documents, with verbatim citations. Exactly one of three says where they are:
    `urls`; `source_index_url`, a JSON list of URLs or of objects with a `url`; or `folder`, a relative path
    below the folder that worker and platform both have as their document root.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    question: Annotated[str, Field(min_length=10, max_length=500)]
    urls: Annotated[tuple[Url, ...] | None, Field(min_length=1, max_length=DOCUMENTS_MAX)] = None
    source_index_url: Url | None = None
    folder: Folder | None = None
    passages: Annotated[int | None, Field(ge=1, le=30, description="empty: the value in force")] = None
    minimum_citations: Annotated[int, Field(ge=1, le=20)] = 3
    minimum_coverage: Annotated[float, Field(ge=0, le=1, description="share of key terms")] = 0.7
    use_claude: Annotated[bool, Field(description="an agent with a key may use Claude")] = False

    @model_validator(mode="after")
    def _has_one_source(self) -> "ResearchPayload":
        if sum(source is not None for source in (self.urls, self.source_index_url, self.folder)) != 1:
            raise ValueError("give exactly one of urls, source_index_url, folder")
        return self


def prepare(payload: dict[str, Any]) -> PreparedTask:
    """Nothing is held back: the documents themselves are the check."""
    return PreparedTask(ResearchPayload.model_validate(payload).model_dump(mode="json"), {})


RESEARCH_SYNTHESIS = TaskType(
    name="research_synthesis",
    summary="Answer a question from documents, with verbatim citations.",
    payload_model=ResearchPayload,
    prepare=prepare,
    tool="app.tasks.research_synthesis.tool:run",
    verifier="app.tasks.research_synthesis.verifier:verify",
    parameters=(
        timeout_parameter(90.0),
        reserve_price_parameter(300_000),
        ParameterSpec(
            suffix="passages_per_answer",
            default=PASSAGES_DEFAULT,
            low=1,
            high=30,
            step_max=2.0,
            unit="passages",
            risk=ParameterRisk.OPEN,
            summary="How many passages an answer is made of when the requester does not say.",
            payload_field="passages",
        ),
    ),
    example=EXAMPLE,
    known_answers="app.tasks.research_synthesis.known_answers:known_case",
)
