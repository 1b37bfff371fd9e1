"""Model card's own sections: intended use, cautions, licences, known failures, reporting items."""
