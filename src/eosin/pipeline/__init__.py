"""The verbs: the only room that joins stages. Each module holds one verb or one step of it."""
