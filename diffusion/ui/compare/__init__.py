"""The room in which two settings are compared, cell by cell."""
