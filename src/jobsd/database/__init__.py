"""The one way to PostgreSQL: connections, statements, migrations, wake-ups, a server of our own."""
