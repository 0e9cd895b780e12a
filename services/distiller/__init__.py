"""The distiller: everything that asks a teacher, and what is imported instead of asked for."""
