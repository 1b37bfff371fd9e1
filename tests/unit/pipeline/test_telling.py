"""What the commands print."""

from eosin.artifacts.audit import AuditReport
from eosin.pipeline.telling import tell_audit


def test_an_audit_that_cannot_know_of_patients_says_so():
    told = tell_audit(AuditReport(n_images=3, n_groups=3, splits={}, findings=[]))
    assert any("every image is its own group" in line for line in told)
    assert told[-1] == "nothing found"
    known = tell_audit(AuditReport(n_images=3, n_groups=2, splits={}, findings=[]))
    assert known == ["3 images, 2 groups", "nothing found"]
