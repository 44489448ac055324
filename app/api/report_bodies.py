"""The bodies of an operator's acts on scheduled reports.

Stand beside `app.api.bodies`, strict and bounded like them.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from app.api.bodies import Body

ScheduleName = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[a-z0-9-]+$")]


class NewSchedule(Body):
    """A report of every day, week (from Monday) or month, in UTC, made when the period is over."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "weekly", "every": "week", "formats": ["html", "pdf"], "announced": True}]
        }
    )
    name: ScheduleName
    every: Literal["day", "week", "month"]
    formats: Annotated[list[Literal["html", "pdf", "md", "csv", "json"]], Field(min_length=1, max_length=5)]
    announced: bool = False
