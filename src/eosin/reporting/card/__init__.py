"""What the model card has alone: cautions, licences, known failures, reporting items."""
