"""Instances of Django's models as arguments, stored as model, key and database alias."""

import json
from importlib import import_module
from typing import Any

from jobsd.arguments import arguments
from jobsd.errors import ArgumentError, ArgumentGoneError

from .library import db, db_models

exceptions: Any = import_module("django.core.exceptions")
registry: Any = import_module("django.apps").apps
asgiref: Any = import_module("asgiref.sync")


class Instances:
    """Stores instances, and finds them again where their job is performed."""

    tag = "$model"
    base: type[Any] = db_models.Model

    def write(self, value: Any) -> Any:  # noqa: ANN401 - Django's
        """Return the name of the model, the key, and the alias of the database.

        Raises:
            ArgumentError: when the instance was not saved, or has a key that can't be stored.
        """
        label = value._meta.label_lower  # noqa: SLF001 - so Django documents it
        # A default in Python may set the key before the row exists.
        if value.pk is None or value._state.adding:  # noqa: SLF001
            raise ArgumentError(
                f"an instance of {label} must be saved before it can be an argument"
            )
        alias = value._state.db or db.DEFAULT_DB_ALIAS  # noqa: SLF001
        return [label, arguments.written([value.pk], {}), alias]

    def find(self, held: Any) -> Any:  # noqa: ANN401
        """Return the present instance.

        Raises:
            ArgumentGoneError: when it is gone.
            ArgumentError: when this project has no model or database of that name.
        """
        label, key, alias = held
        ((pk,), _) = arguments.load(json.dumps(key))
        if alias not in db.connections:
            raise ArgumentError(f"{label} {pk!r}: there is no {alias!r} in DATABASES")
        try:
            # By the name in Django's registry: nothing is imported.
            model = registry.get_model(label)
        except LookupError as error:
            raise ArgumentError(f"there is no model {label!r} here") from error
        try:
            return model._base_manager.using(alias).get(pk=pk)  # noqa: SLF001
        except exceptions.ObjectDoesNotExist as error:
            raise ArgumentGoneError(f"{label} {pk!r}") from error

    def show(self, held: Any) -> str:  # noqa: ANN401
        """Return the model and the key, `Order 5`, with the alias of another database."""
        label, key, alias = held
        ((pk,), _) = arguments.load(json.dumps(key))
        try:
            name = registry.get_model(label)._meta.object_name  # noqa: SLF001
        except LookupError:
            name = label
        return f"{name} {pk}" + (f" in {alias}" if alias != db.DEFAULT_DB_ALIAS else "")

    async def find_soon(self, held: Any) -> Any:  # noqa: ANN401
        """Call `find` in the thread that runs the coroutine's queries."""
        return await asgiref.sync_to_async(self.find)(held)
