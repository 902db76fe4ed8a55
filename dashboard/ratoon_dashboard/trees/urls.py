from django.urls import path

from ratoon_dashboard.trees import views

urlpatterns = [path("", views.IndexView.as_view(), name="index")]
