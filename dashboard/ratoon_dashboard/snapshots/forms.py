"""The acts: what is asked for, and how the service is asked. A form's `plan` tells what would be done, before anything is."""

from django.utils.translation import gettext_lazy as _

from horizon import forms
from horizon import messages

from ratoon_dashboard import api


class ActForm(forms.SelfHandlingForm):
    """Asks the service once; what it refuses stands above the form, which stays open."""

    #: what it is about, from the address
    id = forms.CharField(widget=forms.HiddenInput(), required=False)
    server_id = forms.CharField(widget=forms.HiddenInput(), required=False)
    #: asks the service what would be done, where that is shown first
    plan = None
    #: what is said when the service has accepted it
    begun = ""
    #: whether what cannot be had again goes
    is_destructive = False

    def shown(self, plan):
        """What the form says when this plan stands above it."""
        return {"tree_generation": plan["tree_generation"]}

    def handle(self, request, data):
        try:
            self.ask(api.client(request), data)
        except Exception as error:
            if api.refused(error):
                self.api_error(api.words(error))
            else:
                api.handle(request, error)
            return False
        messages.success(request, self.begun)
        return True


class PlannedForm(ActForm):
    """An act that was agreed to by its plan, and holds for the tree that the plan was made for."""

    tree_generation = forms.IntegerField(widget=forms.HiddenInput(), required=False)


class CreateForm(ActForm):
    name = forms.CharField(label=_("Name"), max_length=255, required=False)
    description = forms.CharField(
        label=_("Description"), widget=forms.Textarea(attrs={"rows": 3}), required=False
    )
    consistency = forms.ThemableChoiceField(
        label=_("Consistency"),
        choices=[
            ("auto", _("One moment of all disks, where it can be had")),
            ("crash", _("One moment of all disks, or no snapshot")),
            ("none", _("Each disk at its own moment: the server is not paused")),
        ],
    )
    begun = _("The snapshot is being taken.")

    @staticmethod
    def plan(client, things, chosen):
        return client.plan_snapshot(server_id=str(things["server_id"]))

    def ask(self, client, data):
        wanted = {name: data[name] for name in ("server_id", "name", "description", "consistency") if data[name]}
        client.create_snapshot(**wanted)


class EditForm(ActForm):
    name = forms.CharField(label=_("Name"), max_length=255, required=False)
    description = forms.CharField(
        label=_("Description"), widget=forms.Textarea(attrs={"rows": 3}), required=False
    )
    protected = forms.BooleanField(
        label=_("Protected"), required=False, help_text=_("Nobody can delete it until this is taken off.")
    )
    protected_reason = forms.CharField(label=_("Why"), max_length=255, required=False)
    begun = _("The snapshot was changed.")

    def ask(self, client, data):
        # A name keeps a safety snapshot for good, and a reason says anew who protects: what was not touched is not sent.
        changed = set(self.changed_data)
        changes = {field: data[field] for field in ("name", "description") if field in changed}
        if "protected" in changed or data["protected"] and "protected_reason" in changed:
            changes["is_protected"] = data["protected"]
        if changes.get("is_protected"):
            changes["protected_reason"] = data["protected_reason"]
        if changes:
            client.update_snapshot(data["id"], **changes)


class RestoreForm(PlannedForm):
    branch_name = forms.CharField(
        label=_("Name of the branch on which it goes on"), max_length=255, required=False
    )
    safety_snapshot = forms.BooleanField(
        label=_("Keep the present state as a snapshot"), initial=True, required=False
    )
    #: for what the plan was made that stands above
    planned_safety_snapshot = forms.BooleanField(widget=forms.HiddenInput(), initial=True, required=False)
    begun = _("The server is being taken back.")

    @staticmethod
    def plan(client, things, chosen):
        return client.plan_restore_snapshot(str(things["id"]), safety_snapshot=_with_safety(chosen))

    def shown(self, plan):
        return {**super().shown(plan), "planned_safety_snapshot": _with_safety(self.data)}

    def clean(self):
        data = super().clean()
        if data["safety_snapshot"] != data["planned_safety_snapshot"]:
            raise forms.ValidationError(_("This is another plan now. Agree to it again, if it is what you want."))
        return data

    def ask(self, client, data):
        client.restore_snapshot(data["id"], **_restore(data))


class DeleteForm(PlannedForm):
    is_destructive = True
    begun = _("The snapshot is being deleted.")

    @staticmethod
    def plan(client, things, chosen):
        return client.plan_delete_snapshot(str(things["id"]))

    def ask(self, client, data):
        client.delete_snapshot(data["id"], tree_generation=data["tree_generation"])


class DeleteSubtreeForm(DeleteForm):
    begun = _("The snapshots are being deleted.")

    @staticmethod
    def plan(client, things, chosen):
        return client.plan_delete_snapshot(str(things["id"]), subtree=True)

    def ask(self, client, data):
        client.delete_snapshot(data["id"], subtree=True, tree_generation=data["tree_generation"])


class DeleteTreeForm(DeleteForm):
    begun = _("All snapshots of the server are being deleted.")

    @staticmethod
    def plan(client, things, chosen):
        return client.plan_delete_server_tree(str(things["server_id"]))

    def ask(self, client, data):
        client.delete_server_tree(data["server_id"], tree_generation=data["tree_generation"])


class RenameBranchForm(ActForm):
    name = forms.CharField(label=_("New name"), max_length=255)
    begun = _("The branch has another name.")

    def ask(self, client, data):
        client.update_branch(data["id"], name=data["name"])


class RestoreBranchForm(RestoreForm):
    @staticmethod
    def plan(client, things, chosen):
        return client.plan_restore_branch(str(things["id"]), safety_snapshot=_with_safety(chosen))

    def ask(self, client, data):
        client.restore_branch(data["id"], **_restore(data))


class DeleteBranchForm(DeleteForm):
    begun = _("The branch is being deleted.")

    @staticmethod
    def plan(client, things, chosen):
        return client.plan_delete_branch(str(things["id"]))

    def ask(self, client, data):
        client.delete_branch(data["id"], tree_generation=data["tree_generation"])


class CancelForm(ActForm):
    begun = _("The operation stops, and what it has done is undone.")

    def ask(self, client, data):
        client.cancel_operation(data["id"])


def _with_safety(chosen):
    """Whether the present state is kept: what was chosen, or what is offered first."""
    return chosen is None or bool(chosen.get("safety_snapshot"))


def _restore(data):
    return {
        "branch_name": data["branch_name"] or None,
        "safety_snapshot": data["safety_snapshot"],
        "tree_generation": data["tree_generation"],
    }
