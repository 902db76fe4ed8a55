from django.urls import path

from ratoon_dashboard.snapshots import views

urlpatterns = [
    path("", views.IndexView.as_view(), name="index"),
    path("<uuid:server_id>/", views.TreeView.as_view(), name="tree"),
    path("<uuid:server_id>/picture/", views.PictureView.as_view(), name="picture"),
    path("<uuid:server_id>/state/", views.StateView.as_view(), name="state"),
    path("<uuid:server_id>/create/", views.CreateView.as_view(), name="create"),
    path("<uuid:server_id>/snapshots/<uuid:id>/", views.SnapshotView.as_view(), name="snapshot"),
    path("<uuid:server_id>/snapshots/<uuid:id>/edit/", views.EditView.as_view(), name="edit"),
    path("<uuid:server_id>/snapshots/<uuid:id>/restore/", views.RestoreView.as_view(), name="restore"),
    path("<uuid:server_id>/snapshots/<uuid:id>/delete/", views.DeleteView.as_view(), name="delete"),
    path("<uuid:server_id>/snapshots/<uuid:id>/delete-subtree/", views.DeleteSubtreeView.as_view(), name="delete_subtree"),
    path("<uuid:server_id>/delete/", views.DeleteTreeView.as_view(), name="delete_tree"),
    path("<uuid:server_id>/branches/<uuid:id>/rename/", views.RenameBranchView.as_view(), name="rename_branch"),
    path("<uuid:server_id>/branches/<uuid:id>/restore/", views.RestoreBranchView.as_view(), name="restore_branch"),
    path("<uuid:server_id>/branches/<uuid:id>/delete/", views.DeleteBranchView.as_view(), name="delete_branch"),
    path("<uuid:server_id>/operations/<uuid:id>/cancel/", views.CancelView.as_view(), name="cancel"),
]
