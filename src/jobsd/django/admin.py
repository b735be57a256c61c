"""The dashboard's entry in Django's admin, where `jobsd.django.urls` are included."""

from importlib import import_module
from typing import Any

from .models import Dashboard

admin: Any = import_module("django.contrib.admin")
shortcuts: Any = import_module("django.shortcuts")
urls: Any = import_module("django.urls")


@admin.register(Dashboard)
class DashboardAdmin(admin.ModelAdmin):  # type: ignore[misc] # pyright: ignore[reportUntypedBaseClass]
    """Leads to the dashboard."""

    def has_module_permission(self, request: Any) -> bool:  # noqa: ANN401 - Django's
        """Show the entry to staff, if the URLs are included."""
        return self.has_view_permission(request)

    def has_view_permission(self, request: Any, obj: object = None) -> bool:  # noqa: ANN401
        """Let staff follow it."""
        del obj
        return bool(request.user.is_staff) and _address() is not None

    def has_add_permission(self, request: Any) -> bool:  # noqa: ANN401
        """There is nothing to add."""
        del request
        return False

    def has_change_permission(self, request: Any, obj: object = None) -> bool:  # noqa: ANN401
        """There is nothing to change."""
        del request, obj
        return False

    def has_delete_permission(self, request: Any, obj: object = None) -> bool:  # noqa: ANN401
        """There is nothing to delete."""
        del request, obj
        return False

    def changelist_view(self, request: Any, extra_context: object = None) -> Any:  # noqa: ANN401
        """Lead to the dashboard instead of a list."""
        del request, extra_context
        return shortcuts.redirect(_address())


def _address() -> str | None:
    try:
        return str(urls.reverse("jobsd:dashboard", args=[""]))
    except urls.NoReverseMatch:
        return None
