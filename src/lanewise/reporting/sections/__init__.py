"""The sections of the report, in the order of reading; each turns the document into what its template shows.

A section is a module with a ``build(document)`` that returns the context of the template of the same name, with at
least a ``heading`` that states the finding, or None where there is no data.
"""
