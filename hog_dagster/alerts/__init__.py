"""Alerts: their texts, and the channels that send them: Slack, a web hook, e-mail. No Dagster."""

from hog_dagster.alerts._channels import AlertNotSent as AlertNotSent
from hog_dagster.alerts._channels import Channel as Channel
from hog_dagster.alerts._channels import beat as beat
from hog_dagster.alerts._channels import channels_of as channels_of
from hog_dagster.alerts._messages import Alert as Alert
from hog_dagster.alerts._messages import check_url as check_url
from hog_dagster.alerts._messages import message as message
from hog_dagster.alerts._messages import page_url as page_url

__all__ = [
    "Alert",
    "AlertNotSent",
    "Channel",
    "beat",
    "channels_of",
    "check_url",
    "message",
    "page_url",
]
