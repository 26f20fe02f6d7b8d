-- One row for each workflow and day (UTC) on which it sent e-mail: what became of it.
-- Servers that count no deliveries: what neither failed nor bounced nor was blocked has arrived.
with counts as (
    select
        project_id,
        workflow_id,
        {{ utc_day('hour') }} as day,
        {{ counted('email_sent') }} as sent,
        {{ counted('email_delivered') }} as delivered_as_counted,
        {{ counted('email_failed') }} as failed,
        {{ counted('email_bounced') }} + {{ counted('email_bounced_hard') }} as bounced,
        {{ counted('email_blocked') }} as blocked
    from {{ source('posthog', 'workflow_metrics') }}
    where level <> 'run'
    group by 1, 2, 3
),

arrived as (
    select
        *,
        case
            when delivered_as_counted > 0 then delivered_as_counted
            when sent > failed + bounced + blocked then sent - failed - bounced - blocked
            else 0
        end as delivered
    from counts
    where sent > 0
)

select
    arrived.project_id,
    arrived.workflow_id,
    workflows.name as workflow_name,
    arrived.day,
    arrived.sent,
    arrived.delivered,
    arrived.failed,
    arrived.bounced,
    arrived.blocked,
    1.0 * arrived.delivered / arrived.sent as delivery_rate,
    1.0 * arrived.bounced / arrived.sent as bounce_rate
from arrived
left join {{ source('posthog', 'workflows') }} as workflows
    on arrived.project_id = workflows.project_id
    and arrived.workflow_id = workflows.id
