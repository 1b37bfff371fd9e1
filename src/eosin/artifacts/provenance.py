"""Schema of a model's provenance, parts of ``model.json``: transfer chain and teachers."""

from __future__ import annotations

from eosin.artifacts.versioned import Count, Document, Text, TupleOf


class TransferStage(Document):
    """One link of the transfer chain, the provenance of a backbone's initial weights.

    Attributes:
        stage: The stage's name, or ``source``.
        source: Origin of the weights, for people.
        data_fingerprint: Fingerprint of a stage's training data; null for a source.
        licence: Of the source's weights or of the stage's data; null where none is stated.
        frozen: The layers that the stage kept fixed; null for a source that is not a model of
            Eosin.
        unfrozen: As in the stage's own ``model.json``; empty in models of before 0.2.
        matched: Number of the backbone's tensors that were loaded.
        missing: The backbone's tensors that were not loaded.
        unexpected: The source's tensors that the backbone lacks.
    """

    stage: Text
    source: Text
    data_fingerprint: Text | None = None
    licence: Text | None = None
    frozen: Text | None = None
    unfrozen: TupleOf[Text] = ()
    matched: Count
    missing: TupleOf[Text] = ()
    unexpected: TupleOf[Text] = ()
    weights_sha256: Text


class Teacher(Document):
    """A run whose predictions a network was taught by.

    Attributes:
        run: Name of its folder.
        architecture: As in its ``model.json``, like all others here.
    """

    run: Text
    architecture: Text
    weights_sha256: Text
    data_fingerprint: Text
    data_licence: Text
