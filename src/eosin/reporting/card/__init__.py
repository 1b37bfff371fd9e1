"""Model card: intended use, evaluation and known failures, made from a run folder alone."""

from eosin.reporting.card.writing import card_of, save_card, write_card

__all__ = ["card_of", "save_card", "write_card"]
