"""Jobs in a project of Django: `INSTALLED_APPS = ["jobsd.django"]`.

The queue is in the database of `DATABASES` that the setting `JOBSD_DATABASE` names ("default"
unless it is set). Nothing is imported by this: Django loads `apps`.
"""
