"""A picture in, a verdict out: decision, score, regions, overlay; an unread answer is REVIEW, never OK."""
