-- Who reads the newsletter, and when the last one went out according to PostHog.
with sent as (
    select max(jobs.created_at) as last_sent_at
    from {{ source('posthog', 'workflow_batch_jobs') }} as jobs
    inner join {{ source('posthog', 'workflows') }} as workflows
        on jobs.workflow_id = workflows.id
    where workflows.name = 'Monthly newsletter'
)

select
    readers.email_hash,
    readers.plan,
    sent.last_sent_at
from {{ ref('subscribers') }} as readers
cross join sent
where readers.subscribed
