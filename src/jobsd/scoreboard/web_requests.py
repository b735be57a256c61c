"""The pages of the dashboard by which requests are counted, and the statuses of answers."""

PAGES = (
    *("/", "/jobs", "/jobs/ID", "/queues", "/queues/NAME", "/recurring", "/recurring/KEY"),
    *("/heartbeats", "/processes", "/processes/ID", "/limits", "/history", "/system", "/audit"),
    *("/bulk", "/bulk/ID", "/live", "/assets", "other"),
)
"""A page's JSON and its acts are counted with the page."""
STATUSES = (
    *("200", "303", "400", "401", "403", "404", "405", "409", "413", "414", "421", "500"),
    *("503", "other"),
)
REQUESTS = tuple((page, status) for page in PAGES for status in STATUSES)

_AT = {request: at for at, request in enumerate(REQUESTS)}
_PARTS = {page.split("/")[1]: page for page in PAGES if page.count("/") == 2}


def page_of(path: str) -> str:
    """Return which of PAGES a path belongs to."""
    first, *rest = path.removeprefix("/api/v1").strip("/").split("/")
    page = f"/{first}"
    if rest and page != "/assets":
        page = _PARTS.get(first, "other")
    return page if page in PAGES else "other"


def index_of(path: str, status: str) -> int:
    """Return the index in REQUESTS of a request for a path, answered with a status."""
    return _AT[page_of(path), status if status in STATUSES else "other"]
