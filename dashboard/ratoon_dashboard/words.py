"""The service's words for people who read a page."""

from django.utils.translation import gettext_lazy as _

OPERATIONS = {
    "snapshot_create": _("Taking a snapshot"),
    "snapshot_restore": _("Restoring"),
    "snapshot_delete": _("Deleting"),
    "layer_flatten": _("Flattening a disk"),
    "head_takeover": _("Keeping the disk that is being removed"),
    "head_retire": _("Keeping what was removed"),
    "head_giveback": _("Giving the disk back"),
}


ENDS = {
    "failed": _("%(kind)s has failed and is undone."),
    "cancelled": _("%(kind)s was cancelled and is undone."),
    "succeeded": _("%(kind)s is done."),
}


def end_of_operation(operation):
    """How it went; what was in the way is said by the service."""
    kind = OPERATIONS.get(operation.kind) or operation.kind.replace("_", " ")
    return ENDS[operation.status] % {"kind": kind}


def of_operation(operation):
    """What is going on, and how far it is."""
    kind = OPERATIONS.get(operation.kind) or operation.kind.replace("_", " ")
    phase = operation.phase or operation.status
    return f"{kind}: {phase.replace('_', ' ')}" if phase else str(kind)
