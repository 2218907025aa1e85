"""A review, told: as text for a terminal, as Markdown for a comment, as JSON, as workflow commands.

Knows: what is said first, what folds away, how much a host takes.
Knows not: how a change was judged (`review`), files, streams, networks.

    from orxaq_mesh.prose.markdown import code, plain
"""
