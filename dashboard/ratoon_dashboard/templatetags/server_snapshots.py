from django import template
from django.template import defaultfilters
from django.utils import dateparse
from django.utils import timezone

from ratoon_dashboard import words

register = template.Library()
register.filter("operation_words", words.of_operation)
register.filter("operation_end", words.end_of_operation)


@register.filter
def of(mapping, key):
    """What a mapping has for a key; nothing, if it has none."""
    return mapping.get(key, "")


@register.filter
def clock(seconds):
    """Minutes and seconds, as the commands write them."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


@register.filter
def moment(text):
    """A time of the service's, in the reader's time zone."""
    at = dateparse.parse_datetime(text or "")
    return defaultfilters.date(timezone.localtime(at), "Y-m-d H:i") if at else text
