"""Orders that people write in files: DAGs and the mappings of reactors, as YAML or JSON.

Knows: how such a file is read, checked with file and line, and said in records.
Knows not: the ledger, printing.

    from orxaq_mesh.orders import dags

    dags.records(dags.read(Path("examples/release.yaml")))     # [("dag.submit", {"dag": "release", "tasks": [...]})]
"""
