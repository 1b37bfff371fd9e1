"""The model card: what a model is, may be used for and is known to fail at, from its run alone."""

from eosin.reporting.card.writing import card_of, save_card, write_card

__all__ = ["card_of", "save_card", "write_card"]
