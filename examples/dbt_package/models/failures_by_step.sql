-- One row for each step and day (UTC) on which it ran: how often it failed.
with counts as (
    select
        project_id,
        workflow_id,
        action_id,
        {{ utc_day('hour') }} as day,
        {{ counted('succeeded') }} as succeeded,
        {{ counted('failed') }} as failed
    from {{ source('posthog', 'workflow_metrics') }}
    where level = 'action' and metric in ('succeeded', 'failed')
    group by 1, 2, 3, 4
)

select
    counts.project_id,
    counts.workflow_id,
    workflows.name as workflow_name,
    counts.action_id,
    steps.name as step_name,
    steps.type as step_type,
    counts.day,
    counts.succeeded,
    counts.failed,
    1.0 * counts.failed / nullif(counts.succeeded + counts.failed, 0) as failure_rate
from counts
left join {{ source('posthog', 'workflows') }} as workflows
    on counts.project_id = workflows.project_id
    and counts.workflow_id = workflows.id
left join {{ source('posthog', 'workflow_actions') }} as steps
    on counts.project_id = steps.project_id
    and counts.workflow_id = steps.workflow_id
    and counts.action_id = steps.action_id
