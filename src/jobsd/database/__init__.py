"""The one way to PostgreSQL: connections, statements, migrations, a server of our own."""
