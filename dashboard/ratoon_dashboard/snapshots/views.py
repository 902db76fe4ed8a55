"""What the panel shows. Acts are in forms.py; where things stand in a picture, in layout.py and svg.py."""

from django.http import HttpResponse
from django.http import JsonResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views import generic

from horizon import forms
from horizon import tables
from horizon import views
from horizon.utils import functions
from horizon.utils.memoized import memoized_method

from ratoon_dashboard import api
from ratoon_dashboard import layout
from ratoon_dashboard import svg
from ratoon_dashboard import words
from ratoon_dashboard.snapshots import forms as acts
from ratoon_dashboard.snapshots import tables as server_tables

PANEL = "horizon:project:server_snapshots"


def picture(request, server_id):
    """What `_tree.html` draws of a server."""
    client = api.client(request)
    tree = client.get_server_tree(server_id)
    operation = client.get_operation(tree["operation_id"]) if tree.get("operation_id") else None
    expected = client.expected_seconds(operation) if operation else None
    ended = None if operation else untold_end(client, server_id)
    return picture_of(request, server_id, tree, operation, expected, ended)


def untold_end(client, server_id):
    """The server's newest operation, if more is to be said of its end than what the tree shows."""
    try:
        newest = next(iter(client.operations(server_id=str(server_id), sort="created_at:desc", limit=1)), None)
    except Exception as error:
        if not api.failed(error):
            raise
        return None  # the tree is worth showing without
    if newest and newest.is_finished and (newest.status != "succeeded" or newest.warnings):
        return newest
    return None


def picture_of(request, server_id, tree, operation=None, expected=None, ended=None):
    timezone.activate(functions.get_timezone(request))  # Horizon does so for whole pages only
    places = layout.of(tree)
    return {
        "may": api.may(request),
        "count": sum(not node["hidden"] for node in tree.get("nodes") or []),
        "server_id": str(server_id),
        # What stands below it is written in the page, row by row: a lookup each would be most of what a large tree costs.
        "address": reverse(f"{PANEL}:tree", args=[server_id]),
        "tree": tree,
        "picture": places,
        "drawing": svg.of(places),
        "operation": operation,
        "expected": expected,
        "ended": ended,
        "branches": tree.get("branches") or [],
    }


class IndexView(tables.DataTableView):
    table_class = server_tables.ServersTable
    page_title = _("Snapshot Trees")

    def get_data(self):
        try:
            return list(api.client(self.request).servers())
        except Exception as error:
            api.handle(self.request, error)
            return []


class TreeView(views.HorizonTemplateView):
    template_name = "server_snapshots/tree.html"
    page_title = _("Snapshot Tree: {{ tree.server_name }}")

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        try:
            context.update(picture(self.request, self.kwargs["server_id"]))
        except Exception as error:
            api.handle(self.request, error, redirect=reverse(f"{PANEL}:index"))
        return context


class Quietly:
    """Asked by the script of an open page, which leaves everything as it is when it gets no answer."""

    def dispatch(self, request, *args, **kwargs):
        try:
            return super().dispatch(request, *args, **kwargs)
        except Exception as error:
            if not api.failed(error):
                raise
            return HttpResponse(status=api.status(error) or 503)


class PictureView(Quietly, generic.TemplateView):
    """The picture alone, for a page that is open when the tree changes."""

    template_name = "server_snapshots/_tree.html"

    def get_context_data(self, **kwargs):
        return super().get_context_data(**picture(self.request, self.kwargs["server_id"]))


class StateView(Quietly, generic.View):
    """Whether an open page is still true, and how far the operation is."""

    def get(self, request, server_id):
        client = api.client(request)
        server = client.get_server(str(server_id))
        state = {"generation": server.tree_generation, "operation": None}
        if server.operation_id:
            operation = client.get_operation(server.operation_id)
            state["operation"] = {
                "id": operation.id,
                "words": words.of_operation(operation),
                "done": operation.steps_done,
                "total": operation.steps_total,
                "cancellable": operation.is_cancellable,
            }
        return JsonResponse(state)


class SnapshotView(views.HorizonTemplateView):
    template_name = "server_snapshots/snapshot.html"
    page_title = _("Snapshot: {{ snapshot.name }}")

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        try:
            context["snapshot"] = api.client(self.request).get_snapshot(str(self.kwargs["id"]))
            context["may"] = api.may(self.request)
        except Exception as error:
            api.handle(self.request, error, redirect=_tree_url(self.kwargs))
        return context


def _tree_url(kwargs):
    return reverse(f"{PANEL}:tree", args=[kwargs["server_id"]])


class ActView(forms.ModalFormView):
    """A form over one thing of a server's tree; what it would do is asked before it is shown."""

    template_name = "server_snapshots/act.html"
    #: asks the service for what the act is about
    thing = None

    @property
    def submit_url(self):
        return self.request.path

    def get_success_url(self):
        return _tree_url(self.kwargs)

    def get_initial(self):
        initial = {name: str(value) for name, value in self.kwargs.items()}
        if self.request.method == "GET" and self.get_plan():
            initial["tree_generation"] = self.get_plan()["tree_generation"]
        return initial

    @memoized_method
    def get_plan(self):
        if not self.form_class.plan:
            return None
        try:
            return self.form_class.plan(api.client(self.request), self.kwargs, self.request.POST or None)
        except Exception as error:
            api.handle(self.request, error, redirect=_tree_url(self.kwargs))

    def get_context_data(self, **kwargs):
        context = {"plan": self.get_plan(), "cancel_url": self.get_success_url(), "thing": self.get_thing()}
        return super().get_context_data(**kwargs, **context)

    @memoized_method
    def get_thing(self):
        """What the title names, if it names anything."""
        if not self.thing:
            return None
        try:
            return getattr(api.client(self.request), self.thing)(str(self.kwargs["id"]))
        except Exception as error:
            api.handle(self.request, error, redirect=_tree_url(self.kwargs))

    def form_invalid(self, form):
        if self.get_plan():  # what is agreed to next is the plan that is shown next
            form.data = {**form.data.dict(), **form.shown(self.get_plan())}
        return super().form_invalid(form)


class CreateView(ActView):
    form_class = acts.CreateForm
    form_id = "create_server_snapshot"
    page_title = submit_label = _("Take Snapshot")


class EditView(ActView):
    form_class = acts.EditForm
    form_id = "edit_server_snapshot"
    thing = "get_snapshot"
    page_title = _("Edit Snapshot {{ thing.name }}")
    submit_label = _("Save Changes")

    def get_initial(self):
        initial = super().get_initial()
        snapshot = self.get_thing()
        initial.update(
            name=snapshot.name,
            description=snapshot.description,
            protected=snapshot.is_protected,
            protected_reason=(snapshot.protection or {}).get("reason", ""),
        )
        return initial


class RestoreView(ActView):
    form_class = acts.RestoreForm
    form_id = "restore_server_snapshot"
    thing = "get_snapshot"
    page_title = _("Restore Snapshot {{ thing.name }}")
    submit_label = _("Restore Snapshot")


class DeleteView(ActView):
    form_class = acts.DeleteForm
    form_id = "delete_server_snapshot"
    thing = "get_snapshot"
    page_title = _("Delete Snapshot {{ thing.name }}")
    submit_label = _("Delete Snapshot")


class DeleteSubtreeView(ActView):
    form_class = acts.DeleteSubtreeForm
    form_id = "delete_server_snapshot_subtree"
    thing = "get_snapshot"
    page_title = _("Delete Snapshot {{ thing.name }} With All That Grew From It")
    submit_label = _("Delete With All That Grew From It")


class DeleteTreeView(ActView):
    form_class = acts.DeleteTreeForm
    form_id = "delete_server_snapshot_tree"
    page_title = submit_label = _("Delete All Snapshots")


class RenameBranchView(ActView):
    form_class = acts.RenameBranchForm
    form_id = "rename_server_snapshot_branch"
    thing = "get_branch"
    page_title = _("Rename Branch {{ thing.name }}")
    submit_label = _("Rename Branch")


class RestoreBranchView(ActView):
    form_class = acts.RestoreBranchForm
    form_id = "restore_server_snapshot_branch"
    thing = "get_branch"
    page_title = _("Restore Branch {{ thing.name }}")
    submit_label = _("Restore Branch")


class DeleteBranchView(ActView):
    form_class = acts.DeleteBranchForm
    form_id = "delete_server_snapshot_branch"
    thing = "get_branch"
    page_title = _("Delete Branch {{ thing.name }}")
    submit_label = _("Delete Branch")


class CancelView(ActView):
    form_class = acts.CancelForm
    form_id = "cancel_server_snapshot_operation"
    page_title = submit_label = _("Cancel Operation")
