-- One row for each workflow and day (UTC): runs, and e-mails along their way.
-- Runs are of level run, e-mails of level action: the levels hold the same counts twice.
with runs as (
    select
        project_id,
        workflow_id,
        {{ utc_day('hour') }} as day,
        {{ counted('triggered') }} as runs_started,
        {{ counted('succeeded') }} as runs_succeeded,
        {{ counted('failed') }} as runs_failed
    from {{ source('posthog', 'workflow_metrics') }}
    where level = 'run'
    group by 1, 2, 3
),

emails as (
    select
        project_id,
        workflow_id,
        {{ utc_day('hour') }} as day,
        {{ counted('email_sent') }} as emails_sent,
        {{ counted('email_opened') }} as emails_opened,
        {{ counted('email_link_clicked') }} as emails_clicked
    from {{ source('posthog', 'workflow_metrics') }}
    where level <> 'run'
    group by 1, 2, 3
),

days as (
    select project_id, workflow_id, day from runs
    union
    select project_id, workflow_id, day from emails
)

select
    days.project_id,
    days.workflow_id,
    workflows.name as workflow_name,
    workflows.status as workflow_status,
    days.day,
    coalesce(runs.runs_started, 0) as runs_started,
    coalesce(runs.runs_succeeded, 0) as runs_succeeded,
    coalesce(runs.runs_failed, 0) as runs_failed,
    coalesce(emails.emails_sent, 0) as emails_sent,
    coalesce(emails.emails_opened, 0) as emails_opened,
    coalesce(emails.emails_clicked, 0) as emails_clicked,
    -- Opens are counted each time, so the rate can be above 1.
    1.0 * emails.emails_opened / nullif(emails.emails_sent, 0) as opens_per_email
from days
left join runs
    on days.project_id = runs.project_id
    and days.workflow_id = runs.workflow_id
    and days.day = runs.day
left join emails
    on days.project_id = emails.project_id
    and days.workflow_id = emails.workflow_id
    and days.day = emails.day
left join {{ source('posthog', 'workflows') }} as workflows
    on days.project_id = workflows.project_id
    and days.workflow_id = workflows.id
