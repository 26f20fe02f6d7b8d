
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

CREATE SCHEMA posthog;

SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE posthog.batch_sends (
    project_id bigint NOT NULL,
    act_id bigint NOT NULL,
    kind text,
    workflow_id text,
    subject text,
    state text,
    attempts integer,
    owner text,
    remote_id text,
    note text,
    request jsonb,
    answer jsonb,
    created_at timestamp with time zone,
    sent_at timestamp with time zone,
    server_sent_at timestamp with time zone,
    settled_at timestamp with time zone,
    updated_at timestamp with time zone,
    _loaded_at timestamp with time zone
);

COMMENT ON TABLE posthog.batch_sends IS 'The record of every batch job asked of PostHog: for which moment, when, what came of it.';

COMMENT ON COLUMN posthog.batch_sends.project_id IS 'The PostHog project.';

COMMENT ON COLUMN posthog.batch_sends.act_id IS 'Number of the act in the ledger.';

COMMENT ON COLUMN posthog.batch_sends.kind IS 'What was done: replay, replay_all, rerun, batch_send or schedule_create.';

COMMENT ON COLUMN posthog.batch_sends.workflow_id IS 'The workflow it was done to.';

COMMENT ON COLUMN posthog.batch_sends.subject IS 'What of it: a run''s id, a scheduled time, or an explicit key.';

COMMENT ON COLUMN posthog.batch_sends.state IS 'intended, sent, confirmed, refused or unknown (in doubt).';

COMMENT ON COLUMN posthog.batch_sends.attempts IS 'How often the request was sent, or about to be.';

COMMENT ON COLUMN posthog.batch_sends.owner IS 'Dagster run that holds or held the act.';

COMMENT ON COLUMN posthog.batch_sends.remote_id IS 'PostHog''s id of what came of it: a batch job, a rerun job, a schedule.';

COMMENT ON COLUMN posthog.batch_sends.note IS 'Why the act is in this state.';

COMMENT ON COLUMN posthog.batch_sends.request IS 'Summary of the request; no secrets, no values of variables.';

COMMENT ON COLUMN posthog.batch_sends.answer IS 'What PostHog answered.';

COMMENT ON COLUMN posthog.batch_sends.created_at IS 'When the act was first claimed.';

COMMENT ON COLUMN posthog.batch_sends.sent_at IS 'When it was last marked as sent, by the ledger''s clock.';

COMMENT ON COLUMN posthog.batch_sends.server_sent_at IS 'The same moment by PostHog''s clock.';

COMMENT ON COLUMN posthog.batch_sends.settled_at IS 'When it was confirmed or refused.';

COMMENT ON COLUMN posthog.batch_sends.updated_at IS 'When the row last changed.';

COMMENT ON COLUMN posthog.batch_sends._loaded_at IS 'When this row landed here (UTC).';

CREATE TABLE posthog.blocked_runs (
    project_id bigint NOT NULL,
    workflow_id text NOT NULL,
    instance_id text NOT NULL,
    reason text,
    at timestamp with time zone,
    action_id text,
    event_uuid text,
    error_kind text,
    message text,
    replayable boolean,
    _loaded_at timestamp with time zone
);

COMMENT ON TABLE posthog.blocked_runs IS 'Runs that wait for a replay: blocked ones on servers that list them, failed ones elsewhere.';

COMMENT ON COLUMN posthog.blocked_runs.project_id IS 'The PostHog project.';

COMMENT ON COLUMN posthog.blocked_runs.workflow_id IS 'The workflow (hog flow).';

COMMENT ON COLUMN posthog.blocked_runs.instance_id IS 'The run.';

COMMENT ON COLUMN posthog.blocked_runs.reason IS 'blocked (an older server lists it) or failed.';

COMMENT ON COLUMN posthog.blocked_runs.at IS 'When it was blocked, or was due (UTC).';

COMMENT ON COLUMN posthog.blocked_runs.action_id IS 'The step it stopped at, where known.';

COMMENT ON COLUMN posthog.blocked_runs.event_uuid IS 'The event that started it, where known.';

COMMENT ON COLUMN posthog.blocked_runs.error_kind IS 'What kind of failure, where known.';

COMMENT ON COLUMN posthog.blocked_runs.message IS 'What PostHog said about it, personal data masked.';

COMMENT ON COLUMN posthog.blocked_runs.replayable IS 'False where PostHog lacks the event or the step.';

COMMENT ON COLUMN posthog.blocked_runs._loaded_at IS 'When this row landed here (UTC).';

CREATE TABLE posthog.group_types (
    project_id bigint NOT NULL,
    group_type_index bigint NOT NULL,
    group_type text,
    name_singular text,
    name_plural text,
    created_at timestamp with time zone,
    _raw jsonb,
    _loaded_at timestamp with time zone
);

COMMENT ON TABLE posthog.group_types IS 'One row per kind of group the project has; there are five at most.';

COMMENT ON COLUMN posthog.group_types.project_id IS 'The PostHog project.';

COMMENT ON COLUMN posthog.group_types.group_type_index IS 'The kind of group, 0 to 4.';

COMMENT ON COLUMN posthog.group_types.group_type IS 'The kind of group by name, such as organization.';

COMMENT ON COLUMN posthog.group_types.name_singular IS 'What one is called.';

COMMENT ON COLUMN posthog.group_types.name_plural IS 'What many are called.';

COMMENT ON COLUMN posthog.group_types.created_at IS 'When it was made (UTC), on servers that say so.';

COMMENT ON COLUMN posthog.group_types._raw IS 'What PostHog answered beyond the columns of this table, as JSON.';

COMMENT ON COLUMN posthog.group_types._loaded_at IS 'When this row landed here (UTC).';

CREATE TABLE posthog.hog_function_logs (
    project_id bigint,
    function_id text,
    instance_id text,
    "timestamp" timestamp with time zone,
    level text,
    message text,
    _loaded_at timestamp with time zone
);

COMMENT ON TABLE posthog.hog_function_logs IS 'Every log line of every invocation, with the text treated as configured (keep, mask or drop).';

COMMENT ON COLUMN posthog.hog_function_logs.project_id IS 'The PostHog project.';

COMMENT ON COLUMN posthog.hog_function_logs.function_id IS 'The hog function.';

COMMENT ON COLUMN posthog.hog_function_logs.instance_id IS 'The invocation that wrote the line.';

COMMENT ON COLUMN posthog.hog_function_logs."timestamp" IS 'When it was written (UTC).';

COMMENT ON COLUMN posthog.hog_function_logs.level IS 'DEBUG, INFO, WARN or ERROR.';

COMMENT ON COLUMN posthog.hog_function_logs.message IS 'The text; personal data is masked unless configured otherwise.';

COMMENT ON COLUMN posthog.hog_function_logs._loaded_at IS 'When this row landed here (UTC).';

CREATE TABLE posthog.hog_function_metrics (
    project_id bigint NOT NULL,
    function_id text NOT NULL,
    hour timestamp with time zone NOT NULL,
    metric text NOT NULL,
    value bigint,
    _loaded_at timestamp with time zone
);

COMMENT ON TABLE posthog.hog_function_metrics IS 'Counts per hog function and UTC hour: invocations succeeded, failed, filtered, ...';

COMMENT ON COLUMN posthog.hog_function_metrics.project_id IS 'The PostHog project.';

COMMENT ON COLUMN posthog.hog_function_metrics.function_id IS 'The hog function.';

COMMENT ON COLUMN posthog.hog_function_metrics.hour IS 'Start of the hour (UTC).';

COMMENT ON COLUMN posthog.hog_function_metrics.metric IS 'succeeded, failed, filtered, fetch, dropped, ...';

COMMENT ON COLUMN posthog.hog_function_metrics.value IS 'How often in that hour; hours with none have no row.';

COMMENT ON COLUMN posthog.hog_function_metrics._loaded_at IS 'When this row landed here (UTC).';

CREATE TABLE posthog.hog_functions (
    project_id bigint NOT NULL,
    id text NOT NULL,
    name text,
    description text,
    type text,
    enabled boolean,
    status text,
    status_code bigint,
    status_tokens double precision,
    template_id text,
    template_name text,
    template_status text,
    execution_order bigint,
    version bigint,
    has_draft boolean,
    source text,
    filters jsonb,
    inputs jsonb,
    mappings jsonb,
    masking jsonb,
    code_sha256 text,
    created_by_email text,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    url text,
    _raw jsonb,
    _loaded_at timestamp with time zone
);

COMMENT ON TABLE posthog.hog_functions IS 'One row per hog function: destinations, transformations, site apps and other pipelines.';

COMMENT ON COLUMN posthog.hog_functions.project_id IS 'The PostHog project.';

COMMENT ON COLUMN posthog.hog_functions.id IS 'The function''s id.';

COMMENT ON COLUMN posthog.hog_functions.name IS 'Its name in PostHog.';

COMMENT ON COLUMN posthog.hog_functions.description IS 'What its authors wrote about it.';

COMMENT ON COLUMN posthog.hog_functions.type IS 'destination, transformation, site_app, ...';

COMMENT ON COLUMN posthog.hog_functions.enabled IS 'Whether it is switched on.';

COMMENT ON COLUMN posthog.hog_functions.status IS 'What PostHog''s watcher makes of it: healthy, degraded, disabled, ...; unknown while it is switched off.';

COMMENT ON COLUMN posthog.hog_functions.status_code IS 'The watcher''s number for it; 0 says nothing.';

COMMENT ON COLUMN posthog.hog_functions.status_tokens IS 'What is left of its budget before the watcher slows it.';

COMMENT ON COLUMN posthog.hog_functions.template_id IS 'The template it was made from; null for one''s own code.';

COMMENT ON COLUMN posthog.hog_functions.template_name IS 'That template''s name.';

COMMENT ON COLUMN posthog.hog_functions.template_status IS 'stable, beta, alpha, deprecated, ...';

COMMENT ON COLUMN posthog.hog_functions.execution_order IS 'Its place among the transformations, lowest first.';

COMMENT ON COLUMN posthog.hog_functions.version IS 'Moves when the live definition changes (newer servers only).';

COMMENT ON COLUMN posthog.hog_functions.has_draft IS 'Whether changes wait to be published (newer servers only).';

COMMENT ON COLUMN posthog.hog_functions.source IS 'What it is fed with: events, person-updates, ...';

COMMENT ON COLUMN posthog.hog_functions.filters IS 'Conditions for it to run, as JSON, secrets taken out.';

COMMENT ON COLUMN posthog.hog_functions.inputs IS 'Names of its inputs, as JSON; every value is taken out.';

COMMENT ON COLUMN posthog.hog_functions.mappings IS 'Its event mappings, as JSON; every value is taken out.';

COMMENT ON COLUMN posthog.hog_functions.masking IS 'How often it may run for the same thing, as JSON.';

COMMENT ON COLUMN posthog.hog_functions.code_sha256 IS 'Digest of its source code: changes when the code does.';

COMMENT ON COLUMN posthog.hog_functions.created_by_email IS 'Who made it; null when that account is gone.';

COMMENT ON COLUMN posthog.hog_functions.created_at IS 'When it was made (UTC).';

COMMENT ON COLUMN posthog.hog_functions.updated_at IS 'When it last changed (UTC).';

COMMENT ON COLUMN posthog.hog_functions.url IS 'Its page in PostHog.';

COMMENT ON COLUMN posthog.hog_functions._raw IS 'Fields of PostHog''s answer that have no column, as JSON.';

COMMENT ON COLUMN posthog.hog_functions._loaded_at IS 'When this row landed here (UTC).';

CREATE TABLE posthog.insights (
    project_id bigint NOT NULL,
    id bigint NOT NULL,
    short_id text,
    name text,
    description text,
    kind text,
    tags jsonb,
    dashboards jsonb,
    favorited boolean,
    created_by_email text,
    created_at timestamp with time zone,
    last_modified_by_email text,
    last_modified_at timestamp with time zone,
    last_refresh timestamp with time zone,
    url text,
    query jsonb,
    deleted_seen_at timestamp with time zone,
    _raw jsonb,
    _loaded_at timestamp with time zone
);

COMMENT ON TABLE posthog.insights IS 'One row per saved insight: what it shows, whose it is, where it hangs, when it was computed.';

COMMENT ON COLUMN posthog.insights.project_id IS 'The PostHog project.';

COMMENT ON COLUMN posthog.insights.id IS 'The insight''s number.';

COMMENT ON COLUMN posthog.insights.short_id IS 'Its short id, as in its web address.';

COMMENT ON COLUMN posthog.insights.name IS 'Its name, or the one PostHog derived for it.';

COMMENT ON COLUMN posthog.insights.description IS 'What its authors wrote about it.';

COMMENT ON COLUMN posthog.insights.kind IS 'trends, funnels, retention, paths, stickiness, lifecycle, sql, ...';

COMMENT ON COLUMN posthog.insights.tags IS 'Its tags, a JSON list.';

COMMENT ON COLUMN posthog.insights.dashboards IS 'Ids of the dashboards it is on, a JSON list.';

COMMENT ON COLUMN posthog.insights.favorited IS 'Whether it is a favourite.';

COMMENT ON COLUMN posthog.insights.created_by_email IS 'Whose it is: who made it.';

COMMENT ON COLUMN posthog.insights.created_at IS 'When it was made (UTC).';

COMMENT ON COLUMN posthog.insights.last_modified_by_email IS 'Who last changed what it shows.';

COMMENT ON COLUMN posthog.insights.last_modified_at IS 'When what it shows last changed (UTC); tags and dashboards do not move it.';

COMMENT ON COLUMN posthog.insights.last_refresh IS 'When PostHog last computed it (UTC), where it says so.';

COMMENT ON COLUMN posthog.insights.url IS 'Its page in PostHog.';

COMMENT ON COLUMN posthog.insights.query IS 'Its query, as JSON.';

COMMENT ON COLUMN posthog.insights.deleted_seen_at IS 'When a listing first lacked it (UTC): it was deleted, or is not saved any more. Null while it is there.';

COMMENT ON COLUMN posthog.insights._raw IS 'Fields of PostHog''s answer that have no column, as JSON.';

COMMENT ON COLUMN posthog.insights._loaded_at IS 'When this row landed here (UTC).';

CREATE TABLE posthog.replays (
    project_id bigint NOT NULL,
    act_id bigint NOT NULL,
    kind text,
    workflow_id text,
    subject text,
    state text,
    attempts integer,
    owner text,
    remote_id text,
    note text,
    request jsonb,
    answer jsonb,
    created_at timestamp with time zone,
    sent_at timestamp with time zone,
    server_sent_at timestamp with time zone,
    settled_at timestamp with time zone,
    updated_at timestamp with time zone,
    _loaded_at timestamp with time zone
);

COMMENT ON TABLE posthog.replays IS 'The record of every replay and rerun asked of PostHog: whose, when, and what came of it.';

COMMENT ON COLUMN posthog.replays.project_id IS 'The PostHog project.';

COMMENT ON COLUMN posthog.replays.act_id IS 'Number of the act in the ledger.';

COMMENT ON COLUMN posthog.replays.kind IS 'What was done: replay, replay_all, rerun, batch_send or schedule_create.';

COMMENT ON COLUMN posthog.replays.workflow_id IS 'The workflow it was done to.';

COMMENT ON COLUMN posthog.replays.subject IS 'What of it: a run''s id, a scheduled time, or an explicit key.';

COMMENT ON COLUMN posthog.replays.state IS 'intended, sent, confirmed, refused or unknown (in doubt).';

COMMENT ON COLUMN posthog.replays.attempts IS 'How often the request was sent, or about to be.';

COMMENT ON COLUMN posthog.replays.owner IS 'Dagster run that holds or held the act.';

COMMENT ON COLUMN posthog.replays.remote_id IS 'PostHog''s id of what came of it: a batch job, a rerun job, a schedule.';

COMMENT ON COLUMN posthog.replays.note IS 'Why the act is in this state.';

COMMENT ON COLUMN posthog.replays.request IS 'Summary of the request; no secrets, no values of variables.';

COMMENT ON COLUMN posthog.replays.answer IS 'What PostHog answered.';

COMMENT ON COLUMN posthog.replays.created_at IS 'When the act was first claimed.';

COMMENT ON COLUMN posthog.replays.sent_at IS 'When it was last marked as sent, by the ledger''s clock.';

COMMENT ON COLUMN posthog.replays.server_sent_at IS 'The same moment by PostHog''s clock.';

COMMENT ON COLUMN posthog.replays.settled_at IS 'When it was confirmed or refused.';

COMMENT ON COLUMN posthog.replays.updated_at IS 'When the row last changed.';

COMMENT ON COLUMN posthog.replays._loaded_at IS 'When this row landed here (UTC).';

CREATE TABLE posthog.workflow_actions (
    project_id bigint NOT NULL,
    workflow_id text NOT NULL,
    action_id text NOT NULL,
    "position" bigint NOT NULL,
    name text,
    description text,
    type text,
    template_id text,
    on_error text,
    config jsonb,
    filters jsonb,
    _raw jsonb,
    _loaded_at timestamp with time zone
);

COMMENT ON TABLE posthog.workflow_actions IS 'One row per step of a workflow: trigger, e-mail, delay, branch, exit and so on.';

COMMENT ON COLUMN posthog.workflow_actions.project_id IS 'The PostHog project.';

COMMENT ON COLUMN posthog.workflow_actions.workflow_id IS 'The workflow (hog flow).';

COMMENT ON COLUMN posthog.workflow_actions.action_id IS 'The step''s id, unique in its workflow.';

COMMENT ON COLUMN posthog.workflow_actions."position" IS 'Its place in the definition, from 0.';

COMMENT ON COLUMN posthog.workflow_actions.name IS 'The step''s name.';

COMMENT ON COLUMN posthog.workflow_actions.description IS 'What its authors wrote about it.';

COMMENT ON COLUMN posthog.workflow_actions.type IS 'trigger, function_email, delay, conditional_branch, exit, ...';

COMMENT ON COLUMN posthog.workflow_actions.template_id IS 'The function template behind the step, if it is a function.';

COMMENT ON COLUMN posthog.workflow_actions.on_error IS 'What a failing step does to the run: continue, abort, ...';

COMMENT ON COLUMN posthog.workflow_actions.config IS 'The step''s settings as JSON; values of inputs are taken out.';

COMMENT ON COLUMN posthog.workflow_actions.filters IS 'Conditions for the step to run, as JSON.';

COMMENT ON COLUMN posthog.workflow_actions._raw IS 'Fields of PostHog''s answer that have no column, as JSON.';

COMMENT ON COLUMN posthog.workflow_actions._loaded_at IS 'When this row landed here (UTC).';

CREATE TABLE posthog.workflow_batch_jobs (
    project_id bigint NOT NULL,
    workflow_id text NOT NULL,
    id text NOT NULL,
    status text,
    filters jsonb,
    variables jsonb,
    created_by_email text,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    _raw jsonb,
    _loaded_at timestamp with time zone
);

COMMENT ON TABLE posthog.workflow_batch_jobs IS 'One row per batch job: each one sent a workflow to its whole audience.';

COMMENT ON COLUMN posthog.workflow_batch_jobs.project_id IS 'The PostHog project.';

COMMENT ON COLUMN posthog.workflow_batch_jobs.workflow_id IS 'The workflow (hog flow).';

COMMENT ON COLUMN posthog.workflow_batch_jobs.id IS 'The batch job''s id.';

COMMENT ON COLUMN posthog.workflow_batch_jobs.status IS 'queued, active, completed, ...; older servers leave it at queued.';

COMMENT ON COLUMN posthog.workflow_batch_jobs.filters IS 'The audience''s filters, as JSON.';

COMMENT ON COLUMN posthog.workflow_batch_jobs.variables IS 'Variables handed to the runs, as JSON.';

COMMENT ON COLUMN posthog.workflow_batch_jobs.created_by_email IS 'Who sent it; null when a schedule did.';

COMMENT ON COLUMN posthog.workflow_batch_jobs.created_at IS 'When it was sent (UTC).';

COMMENT ON COLUMN posthog.workflow_batch_jobs.updated_at IS 'When its status last changed (UTC).';

COMMENT ON COLUMN posthog.workflow_batch_jobs._raw IS 'Fields of PostHog''s answer that have no column, as JSON.';

COMMENT ON COLUMN posthog.workflow_batch_jobs._loaded_at IS 'When this row landed here (UTC).';

CREATE TABLE posthog.workflow_edges (
    project_id bigint NOT NULL,
    workflow_id text NOT NULL,
    "position" bigint NOT NULL,
    from_action_id text,
    to_action_id text,
    type text,
    branch_index bigint,
    _raw jsonb,
    _loaded_at timestamp with time zone
);

COMMENT ON TABLE posthog.workflow_edges IS 'One row per arrow between two steps of a workflow.';

COMMENT ON COLUMN posthog.workflow_edges.project_id IS 'The PostHog project.';

COMMENT ON COLUMN posthog.workflow_edges.workflow_id IS 'The workflow (hog flow).';

COMMENT ON COLUMN posthog.workflow_edges."position" IS 'Its place in the definition, from 0.';

COMMENT ON COLUMN posthog.workflow_edges.from_action_id IS 'The step it leaves.';

COMMENT ON COLUMN posthog.workflow_edges.to_action_id IS 'The step it enters.';

COMMENT ON COLUMN posthog.workflow_edges.type IS 'continue or branch.';

COMMENT ON COLUMN posthog.workflow_edges.branch_index IS 'Which branch of the step it is, from 0.';

COMMENT ON COLUMN posthog.workflow_edges._raw IS 'Fields of PostHog''s answer that have no column, as JSON.';

COMMENT ON COLUMN posthog.workflow_edges._loaded_at IS 'When this row landed here (UTC).';

CREATE TABLE posthog.workflow_logs (
    project_id bigint,
    workflow_id text,
    batch_job_id text,
    instance_id text,
    "timestamp" timestamp with time zone,
    level text,
    message text,
    _loaded_at timestamp with time zone
);

COMMENT ON TABLE posthog.workflow_logs IS 'Every log line of every run, with the text treated as configured (keep, mask or drop).';

COMMENT ON COLUMN posthog.workflow_logs.project_id IS 'The PostHog project.';

COMMENT ON COLUMN posthog.workflow_logs.workflow_id IS 'The workflow (hog flow).';

COMMENT ON COLUMN posthog.workflow_logs.batch_job_id IS 'The batch job that started the run; empty for all others. Only the bulk path sees such runs.';

COMMENT ON COLUMN posthog.workflow_logs.instance_id IS 'The run that wrote the line.';

COMMENT ON COLUMN posthog.workflow_logs."timestamp" IS 'When it was written (UTC).';

COMMENT ON COLUMN posthog.workflow_logs.level IS 'DEBUG, INFO, WARN or ERROR.';

COMMENT ON COLUMN posthog.workflow_logs.message IS 'The text; personal data is masked unless configured otherwise.';

COMMENT ON COLUMN posthog.workflow_logs._loaded_at IS 'When this row landed here (UTC).';

CREATE TABLE posthog.workflow_metrics (
    project_id bigint NOT NULL,
    workflow_id text NOT NULL,
    batch_job_id text NOT NULL,
    level text NOT NULL,
    action_id text NOT NULL,
    hour timestamp with time zone NOT NULL,
    metric text NOT NULL,
    value bigint,
    _loaded_at timestamp with time zone
);

COMMENT ON TABLE posthog.workflow_metrics IS 'Counts per workflow, step and UTC hour: runs succeeded and failed, e-mails sent and opened.';

COMMENT ON COLUMN posthog.workflow_metrics.project_id IS 'The PostHog project.';

COMMENT ON COLUMN posthog.workflow_metrics.workflow_id IS 'The workflow (hog flow).';

COMMENT ON COLUMN posthog.workflow_metrics.batch_job_id IS 'The batch job that started the run; empty for all others. Only the bulk path sees such runs.';

COMMENT ON COLUMN posthog.workflow_metrics.level IS 'run: counts of whole runs; action: counts of one step. Never add the two up.';

COMMENT ON COLUMN posthog.workflow_metrics.action_id IS 'The step; empty on rows of level run.';

COMMENT ON COLUMN posthog.workflow_metrics.hour IS 'Start of the hour (UTC).';

COMMENT ON COLUMN posthog.workflow_metrics.metric IS 'succeeded, failed, email_sent, email_opened, ...';

COMMENT ON COLUMN posthog.workflow_metrics.value IS 'How often in that hour; hours with none have no row.';

COMMENT ON COLUMN posthog.workflow_metrics._loaded_at IS 'When this row landed here (UTC).';

CREATE TABLE posthog.workflow_runs (
    project_id bigint NOT NULL,
    workflow_id text NOT NULL,
    invocation_id text NOT NULL,
    status text,
    error_kind text,
    error_message text,
    distinct_id text,
    person_id text,
    scheduled_at timestamp with time zone NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    duration_ms bigint,
    attempts bigint,
    is_retry boolean,
    _raw jsonb,
    _loaded_at timestamp with time zone
);

COMMENT ON TABLE posthog.workflow_runs IS 'One row per run of a workflow, as PostHog keeps it for 30 days.';

COMMENT ON COLUMN posthog.workflow_runs.project_id IS 'The PostHog project.';

COMMENT ON COLUMN posthog.workflow_runs.workflow_id IS 'The workflow (hog flow).';

COMMENT ON COLUMN posthog.workflow_runs.invocation_id IS 'The run.';

COMMENT ON COLUMN posthog.workflow_runs.status IS 'running, succeeded or failed.';

COMMENT ON COLUMN posthog.workflow_runs.error_kind IS 'What kind of failure.';

COMMENT ON COLUMN posthog.workflow_runs.error_message IS 'PostHog''s words, personal data masked unless kept.';

COMMENT ON COLUMN posthog.workflow_runs.distinct_id IS 'Whom it ran for; null unless personal data is kept.';

COMMENT ON COLUMN posthog.workflow_runs.person_id IS 'The person it ran for.';

COMMENT ON COLUMN posthog.workflow_runs.scheduled_at IS 'When it was due (UTC).';

COMMENT ON COLUMN posthog.workflow_runs.started_at IS 'When it started (UTC).';

COMMENT ON COLUMN posthog.workflow_runs.finished_at IS 'When it ended (UTC).';

COMMENT ON COLUMN posthog.workflow_runs.duration_ms IS 'How long it took, in milliseconds.';

COMMENT ON COLUMN posthog.workflow_runs.attempts IS 'How often it was tried.';

COMMENT ON COLUMN posthog.workflow_runs.is_retry IS 'Whether it is a rerun of an earlier run.';

COMMENT ON COLUMN posthog.workflow_runs._raw IS 'Fields of PostHog''s answer that have no column, as JSON.';

COMMENT ON COLUMN posthog.workflow_runs._loaded_at IS 'When this row landed here (UTC).';

CREATE TABLE posthog.workflow_schedules (
    project_id bigint NOT NULL,
    workflow_id text NOT NULL,
    id text NOT NULL,
    status text,
    rrule text,
    starts_at timestamp with time zone,
    timezone text,
    next_run_at timestamp with time zone,
    variables jsonb,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    _raw jsonb,
    _loaded_at timestamp with time zone
);

COMMENT ON TABLE posthog.workflow_schedules IS 'One row per schedule of a workflow that starts by itself.';

COMMENT ON COLUMN posthog.workflow_schedules.project_id IS 'The PostHog project.';

COMMENT ON COLUMN posthog.workflow_schedules.workflow_id IS 'The workflow (hog flow).';

COMMENT ON COLUMN posthog.workflow_schedules.id IS 'The schedule''s id.';

COMMENT ON COLUMN posthog.workflow_schedules.status IS 'active, paused or completed.';

COMMENT ON COLUMN posthog.workflow_schedules.rrule IS 'When it fires, an iCalendar recurrence rule in its time zone.';

COMMENT ON COLUMN posthog.workflow_schedules.starts_at IS 'The first moment it may fire (UTC).';

COMMENT ON COLUMN posthog.workflow_schedules.timezone IS 'The zone the rule is read in.';

COMMENT ON COLUMN posthog.workflow_schedules.next_run_at IS 'When it fires next (UTC); null until PostHog plans it.';

COMMENT ON COLUMN posthog.workflow_schedules.variables IS 'Variables handed to the runs, as JSON.';

COMMENT ON COLUMN posthog.workflow_schedules.created_at IS 'When it was made (UTC).';

COMMENT ON COLUMN posthog.workflow_schedules.updated_at IS 'When it last changed (UTC).';

COMMENT ON COLUMN posthog.workflow_schedules._raw IS 'Fields of PostHog''s answer that have no column, as JSON.';

COMMENT ON COLUMN posthog.workflow_schedules._loaded_at IS 'When this row landed here (UTC).';

CREATE TABLE posthog.workflows (
    project_id bigint NOT NULL,
    id text NOT NULL,
    name text,
    description text,
    status text,
    version bigint,
    trigger_type text,
    exit_condition text,
    action_count bigint,
    billable_action_types jsonb,
    variables jsonb,
    trigger jsonb,
    conversion jsonb,
    created_by_email text,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    url text,
    _raw jsonb,
    _loaded_at timestamp with time zone
);

COMMENT ON TABLE posthog.workflows IS 'One row per PostHog workflow: what it is called, whether it is live, what starts it.';

COMMENT ON COLUMN posthog.workflows.project_id IS 'The PostHog project.';

COMMENT ON COLUMN posthog.workflows.id IS 'The workflow''s id.';

COMMENT ON COLUMN posthog.workflows.name IS 'Its name in PostHog; null while it has none.';

COMMENT ON COLUMN posthog.workflows.description IS 'What its authors wrote about it.';

COMMENT ON COLUMN posthog.workflows.status IS 'draft, active or archived; only active ones run.';

COMMENT ON COLUMN posthog.workflows.version IS 'Moves when the live definition changes (newer servers only).';

COMMENT ON COLUMN posthog.workflows.trigger_type IS 'What starts a run: event, webhook, batch, schedule, ...';

COMMENT ON COLUMN posthog.workflows.exit_condition IS 'When a person leaves the workflow early.';

COMMENT ON COLUMN posthog.workflows.action_count IS 'How many steps it has, the trigger included.';

COMMENT ON COLUMN posthog.workflows.billable_action_types IS 'Kinds of steps that PostHog bills, a JSON list.';

COMMENT ON COLUMN posthog.workflows.variables IS 'Variables a batch job or schedule may set, a JSON list.';

COMMENT ON COLUMN posthog.workflows.trigger IS 'The trigger''s settings as JSON, secrets taken out.';

COMMENT ON COLUMN posthog.workflows.conversion IS 'The goal''s settings as JSON, secrets taken out.';

COMMENT ON COLUMN posthog.workflows.created_by_email IS 'Who made it; null when that account is gone.';

COMMENT ON COLUMN posthog.workflows.created_at IS 'When it was made (UTC).';

COMMENT ON COLUMN posthog.workflows.updated_at IS 'When it last changed, a draft''s edits included (UTC).';

COMMENT ON COLUMN posthog.workflows.url IS 'Its page in PostHog.';

COMMENT ON COLUMN posthog.workflows._raw IS 'Fields of PostHog''s answer that have no column, as JSON.';

COMMENT ON COLUMN posthog.workflows._loaded_at IS 'When this row landed here (UTC).';

INSERT INTO posthog.batch_sends VALUES (1, 48, 'batch_send', '019e2545-a208-0000-25ae-3d6258ca0dd3', '2026-11-30T06:00:00Z', 'confirmed', 1, '1ce1e8aa-9ca4-45e9-b905-109caa8f985d', '01a22b3d-eae8-0000-1e3b-49bf47b87a31', 'batch job 01a22b3d-eae8-0000-1e3b-49bf47b87a31 is queued', '{"host": "http://127.0.0.1:38649", "audience": 131, "variables": "44136fa355b3678a1146ad16f7e8649e", "newest_before": "2026-10-31T10:00:00+00:00", "variable_names": []}', '{"id": "01a22b3d-eae8-0000-1e3b-49bf47b87a31", "status": "queued"}', '2026-11-30 06:56:47.837737+00', '2026-11-30 06:56:47.842034+00', '2026-11-30 06:56:47.019433+00', '2026-11-30 06:56:47.852508+00', '2026-11-30 06:56:47.852508+00', '2026-11-30 06:56:49.987779+00');

INSERT INTO posthog.group_types VALUES (1, 0, 'company', 'company', 'companies', '2026-05-14 06:56:21.081303+00', NULL, '2026-11-30 06:56:25.497255+00');
INSERT INTO posthog.group_types VALUES (1, 1, 'project', NULL, NULL, '2026-05-14 06:56:21.081303+00', NULL, '2026-11-30 06:56:25.497255+00');

INSERT INTO posthog.hog_function_logs VALUES (1, '019fc142-6259-0000-99ff-c7cd97d63996', '01a22916-514c-7160-87f8-4a59de10dfdf', '2026-11-29 20:54:18.203+00', 'INFO', 'Function completed in 12ms', '2026-11-30 06:56:30.950922+00');
INSERT INTO posthog.hog_function_logs VALUES (1, '019fc142-6259-0000-99ff-c7cd97d63996', '01a22916-514c-7160-87f8-4a59de10dfdf', '2026-11-29 20:54:18.188+00', 'DEBUG', 'Executing function for ***@***', '2026-11-30 06:56:30.950922+00');
INSERT INTO posthog.hog_function_logs VALUES (1, '019fc142-6259-0000-99ff-c7cd97d63996', '01a22899-3c4f-7a11-bf9f-beb5d0df91d8', '2026-11-29 18:37:40.83+00', 'INFO', 'Function completed in 12ms', '2026-11-30 06:56:30.950922+00');
INSERT INTO posthog.hog_function_logs VALUES (1, '019fc142-6259-0000-99ff-c7cd97d63996', '01a22899-3c4f-7a11-bf9f-beb5d0df91d8', '2026-11-29 18:37:40.815+00', 'DEBUG', 'Executing function for ***@***', '2026-11-30 06:56:30.950922+00');
INSERT INTO posthog.hog_function_logs VALUES (1, '019fc142-6259-0000-99ff-c7cd97d63996', '01a2285b-8ba1-770f-bd38-589b94f42115', '2026-11-29 17:30:17.904+00', 'INFO', 'Function completed in 12ms', '2026-11-30 06:56:30.950922+00');
INSERT INTO posthog.hog_function_logs VALUES (1, '019fc142-6259-0000-99ff-c7cd97d63996', '01a2285b-8ba1-770f-bd38-589b94f42115', '2026-11-29 17:30:17.889+00', 'DEBUG', 'Executing function for ***@***', '2026-11-30 06:56:30.950922+00');
INSERT INTO posthog.hog_function_logs VALUES (1, '019fc142-6259-0000-b294-3b3f165cc3d4', '01a229b1-4792-79e7-8885-732a96301ba1', '2026-11-29 23:43:33.793+00', 'INFO', 'Function completed in 12ms', '2026-11-30 06:56:30.951656+00');
INSERT INTO posthog.hog_function_logs VALUES (1, '019fc142-6259-0000-b294-3b3f165cc3d4', '01a229b1-4792-79e7-8885-732a96301ba1', '2026-11-29 23:43:33.778+00', 'DEBUG', 'Executing function for ***@***', '2026-11-30 06:56:30.951656+00');
INSERT INTO posthog.hog_function_logs VALUES (1, '019fc142-6259-0000-b294-3b3f165cc3d4', '01a22854-3c5c-7f68-a2b7-8c27562b6706', '2026-11-29 17:22:18.859+00', 'INFO', 'Function completed in 12ms', '2026-11-30 06:56:30.951656+00');
INSERT INTO posthog.hog_function_logs VALUES (1, '019fc142-6259-0000-b294-3b3f165cc3d4', '01a22854-3c5c-7f68-a2b7-8c27562b6706', '2026-11-29 17:22:18.844+00', 'DEBUG', 'Executing function for ***@***', '2026-11-30 06:56:30.951656+00');
INSERT INTO posthog.hog_function_logs VALUES (1, '019fc142-6259-0000-b294-3b3f165cc3d4', '01a2283f-3a8c-7431-a448-89bb9337c833', '2026-11-29 16:59:22.139+00', 'INFO', 'Function completed in 12ms', '2026-11-30 06:56:30.951656+00');
INSERT INTO posthog.hog_function_logs VALUES (1, '019fc142-6259-0000-b294-3b3f165cc3d4', '01a2283f-3a8c-7431-a448-89bb9337c833', '2026-11-29 16:59:22.124+00', 'DEBUG', 'Executing function for ***@***', '2026-11-30 06:56:30.951656+00');

INSERT INTO posthog.hog_function_metrics VALUES (1, '019fc142-6259-0000-b294-3b3f165cc3d4', '2026-11-29 16:00:00+00', 'succeeded', 1, '2026-11-30 06:56:29.650925+00');
INSERT INTO posthog.hog_function_metrics VALUES (1, '019fc142-6259-0000-b294-3b3f165cc3d4', '2026-11-29 16:00:00+00', 'triggered', 1, '2026-11-30 06:56:29.650925+00');
INSERT INTO posthog.hog_function_metrics VALUES (1, '019fc142-6259-0000-b294-3b3f165cc3d4', '2026-11-29 17:00:00+00', 'succeeded', 1, '2026-11-30 06:56:29.650925+00');
INSERT INTO posthog.hog_function_metrics VALUES (1, '019fc142-6259-0000-b294-3b3f165cc3d4', '2026-11-29 17:00:00+00', 'triggered', 1, '2026-11-30 06:56:29.650925+00');
INSERT INTO posthog.hog_function_metrics VALUES (1, '019fc142-6259-0000-b294-3b3f165cc3d4', '2026-11-29 23:00:00+00', 'succeeded', 1, '2026-11-30 06:56:29.650925+00');
INSERT INTO posthog.hog_function_metrics VALUES (1, '019fc142-6259-0000-b294-3b3f165cc3d4', '2026-11-29 23:00:00+00', 'triggered', 1, '2026-11-30 06:56:29.650925+00');
INSERT INTO posthog.hog_function_metrics VALUES (1, '019fc142-6259-0000-99ff-c7cd97d63996', '2026-11-29 17:00:00+00', 'succeeded', 1, '2026-11-30 06:56:29.650925+00');
INSERT INTO posthog.hog_function_metrics VALUES (1, '019fc142-6259-0000-99ff-c7cd97d63996', '2026-11-29 17:00:00+00', 'triggered', 1, '2026-11-30 06:56:29.650925+00');
INSERT INTO posthog.hog_function_metrics VALUES (1, '019fc142-6259-0000-99ff-c7cd97d63996', '2026-11-29 18:00:00+00', 'succeeded', 1, '2026-11-30 06:56:29.650925+00');
INSERT INTO posthog.hog_function_metrics VALUES (1, '019fc142-6259-0000-99ff-c7cd97d63996', '2026-11-29 18:00:00+00', 'triggered', 1, '2026-11-30 06:56:29.650925+00');
INSERT INTO posthog.hog_function_metrics VALUES (1, '019fc142-6259-0000-99ff-c7cd97d63996', '2026-11-29 20:00:00+00', 'succeeded', 1, '2026-11-30 06:56:29.650925+00');
INSERT INTO posthog.hog_function_metrics VALUES (1, '019fc142-6259-0000-99ff-c7cd97d63996', '2026-11-29 20:00:00+00', 'triggered', 1, '2026-11-30 06:56:29.650925+00');

INSERT INTO posthog.hog_functions VALUES (1, '019fc142-6259-0000-fd87-18eade76b053', 'Drop health checks', '', 'transformation', true, 'healthy', 1, 10000, 'template-drop-events', 'Drop events', 'stable', 1, 0, false, 'events', '{"source": "events"}', '{"name": {"order": 0, "value": "[redacted]"}}', NULL, NULL, '226f3bc6fdc1e051807ba64777e3ccf591a825834505d22189721839702c6816', 'owner@example.com', '2026-08-02 06:56:21.081303+00', '2026-10-21 06:56:21.081303+00', 'http://127.0.0.1:38649/project/1/functions/019fc142-6259-0000-fd87-18eade76b053', '{}', '2026-11-30 06:56:25.674116+00');
INSERT INTO posthog.hog_functions VALUES (1, '019fc142-6259-0000-9d1e-8826c82dd5d7', 'Overloaded endpoint', '', 'destination', true, 'disabled', 3, 0, NULL, NULL, NULL, NULL, 0, false, 'events', '{"source": "events"}', '{"url": {"order": 0, "value": "[redacted]"}}', NULL, NULL, 'ba53041a5af4b5daabdc4bcf1e31639ce99a49391759ed8757ab11ebe4c738fa', 'owner@example.com', '2026-08-02 06:56:21.081303+00', '2026-11-29 06:56:21.081303+00', 'http://127.0.0.1:38649/project/1/functions/019fc142-6259-0000-9d1e-8826c82dd5d7', '{}', '2026-11-30 06:56:25.674116+00');
INSERT INTO posthog.hog_functions VALUES (1, '019fc142-6259-0000-b294-3b3f165cc3d4', 'Sign-ups to the warehouse', '', 'destination', true, 'healthy', 1, 10000, 'template-webhook', 'HTTP Webhook', 'stable', NULL, 0, false, 'events', '{"events": [{"id": "signed up", "name": "signed up", "type": "events", "order": 0}], "source": "events"}', '{"url": {"order": 0, "value": "[redacted]"}}', NULL, NULL, 'ba53041a5af4b5daabdc4bcf1e31639ce99a49391759ed8757ab11ebe4c738fa', 'owner@example.com', '2026-08-02 06:56:21.081303+00', '2026-11-28 06:56:21.081303+00', 'http://127.0.0.1:38649/project/1/functions/019fc142-6259-0000-b294-3b3f165cc3d4', '{}', '2026-11-30 06:56:25.674116+00');
INSERT INTO posthog.hog_functions VALUES (1, '019fc142-6259-0000-99ff-c7cd97d63996', 'Customers to the CRM', 'Every new subscription becomes a contact.', 'destination', true, 'healthy', 1, 10000, 'template-crm-contact', 'CRM contact', 'beta', NULL, 0, false, 'events', '{"events": [{"id": "subscribed", "name": "subscribed", "type": "events", "order": 0}], "source": "events"}', '{"email": {"order": 0, "value": "[redacted]"}, "access_token": {"secret": true}}', NULL, NULL, '32da9e7ff7a7603e7ffddb5b703493db9cff1c354cdef92200086557e20882c7', 'owner@example.com', '2026-08-02 06:56:21.081303+00', '2026-11-21 06:56:21.081303+00', 'http://127.0.0.1:38649/project/1/functions/019fc142-6259-0000-99ff-c7cd97d63996', '{}', '2026-11-30 06:56:25.674116+00');
INSERT INTO posthog.hog_functions VALUES (1, '019fc142-6259-0000-9b69-09cb4a01de92', 'Old Slack alerts', '', 'destination', false, 'unknown', 0, 0, 'template-slack', 'Slack', 'stable', NULL, 0, false, 'events', '{"source": "events"}', '{"text": {"order": 0, "value": "[redacted]"}}', NULL, NULL, 'ba53041a5af4b5daabdc4bcf1e31639ce99a49391759ed8757ab11ebe4c738fa', 'owner@example.com', '2026-08-02 06:56:21.081303+00', '2026-09-21 06:56:21.081303+00', 'http://127.0.0.1:38649/project/1/functions/019fc142-6259-0000-9b69-09cb4a01de92', '{}', '2026-11-30 06:56:25.674116+00');

INSERT INTO posthog.insights VALUES (1, 4, 'XjAnOqhi', 'Revenue, two weeks', '', 'trends', '["revenue"]', '[2]', false, 'owner@example.com', '2026-09-01 06:56:21.081303+00', NULL, '2026-11-20 06:56:21.081303+00', NULL, 'http://127.0.0.1:38649/project/1/insights/XjAnOqhi', '{"kind": "InsightVizNode", "source": {"kind": "TrendsQuery", "series": [{"kind": "EventsNode", "math": "sum", "name": "subscribed", "event": "subscribed", "math_property": "amount"}], "interval": "day", "dateRange": {"date_from": "-14d"}, "trendsFilter": {"display": "BoldNumber"}}}', NULL, NULL, '2026-11-30 06:56:25.809625+00');
INSERT INTO posthog.insights VALUES (1, 5, 'N0tfS4u8', 'Visits against the weeks before', '', 'trends', '[]', '[]', false, 'owner@example.com', '2026-09-01 06:56:21.081303+00', NULL, '2026-11-17 06:56:21.081303+00', NULL, 'http://127.0.0.1:38649/project/1/insights/N0tfS4u8', '{"kind": "InsightVizNode", "source": {"kind": "TrendsQuery", "series": [{"kind": "EventsNode", "name": "$pageview", "event": "$pageview"}], "interval": "day", "dateRange": {"date_from": "-14d"}, "compareFilter": {"compare": true}}}', NULL, NULL, '2026-11-30 06:56:25.809625+00');
INSERT INTO posthog.insights VALUES (1, 6, 'JPvLVATZ', 'From visit to subscription', '', 'funnels', '["growth"]', '[1]', false, 'owner@example.com', '2026-09-01 06:56:21.081303+00', NULL, '2026-11-14 06:56:21.081303+00', NULL, 'http://127.0.0.1:38649/project/1/insights/JPvLVATZ', '{"kind": "InsightVizNode", "source": {"kind": "FunnelsQuery", "series": [{"kind": "EventsNode", "name": "$pageview", "event": "$pageview"}, {"kind": "EventsNode", "name": "signed up", "event": "signed up"}, {"kind": "EventsNode", "name": "subscribed", "event": "subscribed"}], "dateRange": {"date_from": "-14d"}, "funnelsFilter": {"funnelVizType": "steps"}}}', NULL, NULL, '2026-11-30 06:56:25.809625+00');
INSERT INTO posthog.insights VALUES (1, 7, 'RZSUGO0P', 'From visit to subscription, by browser', '', 'funnels', '[]', '[]', false, 'owner@example.com', '2026-09-01 06:56:21.081303+00', NULL, '2026-11-11 06:56:21.081303+00', NULL, 'http://127.0.0.1:38649/project/1/insights/RZSUGO0P', '{"kind": "InsightVizNode", "source": {"kind": "FunnelsQuery", "series": [{"kind": "EventsNode", "name": "$pageview", "event": "$pageview"}, {"kind": "EventsNode", "name": "signed up", "event": "signed up"}, {"kind": "EventsNode", "name": "subscribed", "event": "subscribed"}], "dateRange": {"date_from": "-14d"}, "breakdownFilter": {"breakdown": "$browser", "breakdown_type": "event"}}}', NULL, NULL, '2026-11-30 06:56:25.809625+00');
INSERT INTO posthog.insights VALUES (1, 8, 'XOp77DHv', 'Time to sign up', '', 'funnels', '[]', '[]', false, 'owner@example.com', '2026-09-01 06:56:21.081303+00', NULL, '2026-11-08 06:56:21.081303+00', NULL, 'http://127.0.0.1:38649/project/1/insights/XOp77DHv', '{"kind": "InsightVizNode", "source": {"kind": "FunnelsQuery", "series": [{"kind": "EventsNode", "name": "$pageview", "event": "$pageview"}, {"kind": "EventsNode", "name": "signed up", "event": "signed up"}], "dateRange": {"date_from": "-14d"}, "funnelsFilter": {"funnelVizType": "time_to_convert"}}}', NULL, NULL, '2026-11-30 06:56:25.809625+00');
INSERT INTO posthog.insights VALUES (1, 9, 'LK63Cl9o', 'Weekly visitors who come back', '', 'retention', '["growth"]', '[1]', false, 'owner@example.com', '2026-09-01 06:56:21.081303+00', NULL, '2026-11-05 06:56:21.081303+00', NULL, 'http://127.0.0.1:38649/project/1/insights/LK63Cl9o', '{"kind": "InsightVizNode", "source": {"kind": "RetentionQuery", "dateRange": {}, "retentionFilter": {"period": "Week", "targetEntity": {"id": "$pageview", "type": "events"}, "retentionType": "retention_first_time", "totalIntervals": 5, "returningEntity": {"id": "$pageview", "type": "events"}}}}', NULL, NULL, '2026-11-30 06:56:25.809625+00');
INSERT INTO posthog.insights VALUES (1, 10, '3qu9MOmF', 'Ways through the shop', '', 'paths', '[]', '[]', false, 'owner@example.com', '2026-09-01 06:56:21.081303+00', NULL, '2026-11-02 06:56:21.081303+00', NULL, 'http://127.0.0.1:38649/project/1/insights/3qu9MOmF', '{"kind": "InsightVizNode", "source": {"kind": "PathsQuery", "dateRange": {"date_from": "-14d"}, "pathsFilter": {"stepLimit": 4, "includeEventTypes": ["$pageview"]}}}', NULL, NULL, '2026-11-30 06:56:25.809625+00');
INSERT INTO posthog.insights VALUES (1, 11, 'f8ndmdN2', 'Days with a visit', '', 'stickiness', '[]', '[]', false, 'owner@example.com', '2026-09-01 06:56:21.081303+00', NULL, '2026-10-30 06:56:21.081303+00', NULL, 'http://127.0.0.1:38649/project/1/insights/f8ndmdN2', '{"kind": "InsightVizNode", "source": {"kind": "StickinessQuery", "series": [{"kind": "EventsNode", "name": "$pageview", "event": "$pageview"}], "interval": "day", "dateRange": {"date_from": "-14d"}}}', NULL, NULL, '2026-11-30 06:56:25.809625+00');
INSERT INTO posthog.insights VALUES (1, 12, 'FQzoKEFR', 'Visitor lifecycle', '', 'lifecycle', '["growth"]', '[1]', false, 'owner@example.com', '2026-09-01 06:56:21.081303+00', NULL, '2026-10-27 06:56:21.081303+00', NULL, 'http://127.0.0.1:38649/project/1/insights/FQzoKEFR', '{"kind": "InsightVizNode", "source": {"kind": "LifecycleQuery", "series": [{"kind": "EventsNode", "name": "$pageview", "event": "$pageview"}], "interval": "day", "dateRange": {"date_from": "-14d"}}}', NULL, NULL, '2026-11-30 06:56:25.809625+00');
INSERT INTO posthog.insights VALUES (1, 13, '7u2ki88B', 'Revenue by plan', '', 'sql', '["revenue"]', '[2]', false, 'owner@example.com', '2026-09-01 06:56:21.081303+00', NULL, '2026-10-24 06:56:21.081303+00', NULL, 'http://127.0.0.1:38649/project/1/insights/7u2ki88B', '{"kind": "DataVisualizationNode", "source": {"kind": "HogQLQuery", "query": "select properties.plan as plan, count() as subscriptions, sum(toFloat(properties.amount)) as revenue, max(timestamp) as latest from events where event = ''subscribed'' group by plan order by plan"}}', NULL, NULL, '2026-11-30 06:56:25.809625+00');
INSERT INTO posthog.insights VALUES (1, 14, 'G3QtO7SB', 'All visits', '', 'sql', '[]', '[]', false, 'owner@example.com', '2026-09-01 06:56:21.081303+00', NULL, '2026-10-21 06:56:21.081303+00', NULL, 'http://127.0.0.1:38649/project/1/insights/G3QtO7SB', '{"kind": "DataVisualizationNode", "source": {"kind": "HogQLQuery", "query": "select uuid, timestamp, distinct_id from events where event = ''$pageview''"}}', NULL, NULL, '2026-11-30 06:56:25.809625+00');
INSERT INTO posthog.insights VALUES (1, 15, 'g4VMsGjL', 'Latest subscriptions', '', 'sql', '[]', '[]', false, 'owner@example.com', '2026-09-01 06:56:21.081303+00', NULL, '2026-10-18 06:56:21.081303+00', NULL, 'http://127.0.0.1:38649/project/1/insights/g4VMsGjL', '{"kind": "DataTableNode", "source": {"kind": "EventsQuery", "after": "-7d", "event": "subscribed", "limit": 20, "select": ["event", "timestamp", "distinct_id"]}}', NULL, NULL, '2026-11-30 06:56:25.809625+00');

INSERT INTO posthog.replays VALUES (1, 36, 'rerun', '019e2545-a208-0000-3375-4708cf33018f', '01a1ee12-a194-795a-908a-0e33fc1649a3', 'confirmed', 1, '25aec2bc-9d9d-4ec7-9ebb-f2789375333e', '01a22b3d-cc9a-782c-ae90-8fc6a1e9899b', 'read back: attempts is 2, it is marked as a retry, its status is running', '{"host": "http://127.0.0.1:38649", "status": "failed", "attempts": 1, "is_retry": false, "scheduled_at": "2026-11-18T09:52:40.852000+00:00"}', '{"rerun_job_id": "01a22b3d-cc9a-782c-ae90-8fc6a1e9899b"}', '2026-11-30 06:56:40.061771+00', '2026-11-30 06:56:40.080175+00', '2026-11-30 06:56:40.062036+00', '2026-11-30 06:56:43.665173+00', '2026-11-30 06:56:43.665173+00', '2026-11-30 06:56:49.8823+00');
INSERT INTO posthog.replays VALUES (1, 37, 'rerun', '019e2545-a208-0000-3375-4708cf33018f', '01a1ee75-8e6b-7a3b-b87c-4077108df32f', 'confirmed', 1, '25aec2bc-9d9d-4ec7-9ebb-f2789375333e', '01a22b3d-cc9a-782c-ae90-8fc6a1e9899b', 'read back: attempts is 2, it is marked as a retry, its status is running', '{"host": "http://127.0.0.1:38649", "status": "failed", "attempts": 1, "is_retry": false, "scheduled_at": "2026-11-18T11:40:44.011000+00:00"}', '{"rerun_job_id": "01a22b3d-cc9a-782c-ae90-8fc6a1e9899b"}', '2026-11-30 06:56:40.061771+00', '2026-11-30 06:56:40.080175+00', '2026-11-30 06:56:40.062036+00', '2026-11-30 06:56:43.667337+00', '2026-11-30 06:56:43.667337+00', '2026-11-30 06:56:49.8823+00');
INSERT INTO posthog.replays VALUES (1, 38, 'rerun', '019e2545-a208-0000-3375-4708cf33018f', '01a1ef0a-b4a7-72f4-bef2-1cdeb4d1e284', 'confirmed', 1, '25aec2bc-9d9d-4ec7-9ebb-f2789375333e', '01a22b3d-cc9a-782c-ae90-8fc6a1e9899b', 'read back: attempts is 2, it is marked as a retry, its status is running', '{"host": "http://127.0.0.1:38649", "status": "failed", "attempts": 1, "is_retry": false, "scheduled_at": "2026-11-18T14:23:38.663000+00:00"}', '{"rerun_job_id": "01a22b3d-cc9a-782c-ae90-8fc6a1e9899b"}', '2026-11-30 06:56:40.061771+00', '2026-11-30 06:56:40.080175+00', '2026-11-30 06:56:40.062036+00', '2026-11-30 06:56:43.669562+00', '2026-11-30 06:56:43.669562+00', '2026-11-30 06:56:49.8823+00');
INSERT INTO posthog.replays VALUES (1, 39, 'rerun', '019e2545-a208-0000-3375-4708cf33018f', '01a1f2eb-5450-7e74-9662-3b12cc37c034', 'confirmed', 1, '25aec2bc-9d9d-4ec7-9ebb-f2789375333e', '01a22b3d-cc9a-782c-ae90-8fc6a1e9899b', 'read back: attempts is 2, it is marked as a retry, its status is running', '{"host": "http://127.0.0.1:38649", "status": "failed", "attempts": 1, "is_retry": false, "scheduled_at": "2026-11-19T08:27:51.248000+00:00"}', '{"rerun_job_id": "01a22b3d-cc9a-782c-ae90-8fc6a1e9899b"}', '2026-11-30 06:56:40.061771+00', '2026-11-30 06:56:40.080175+00', '2026-11-30 06:56:40.062036+00', '2026-11-30 06:56:43.671834+00', '2026-11-30 06:56:43.671834+00', '2026-11-30 06:56:49.8823+00');
INSERT INTO posthog.replays VALUES (1, 40, 'rerun', '019e2545-a208-0000-3375-4708cf33018f', '01a1fdd3-ff1b-7fe6-99dd-ccfc90deed55', 'confirmed', 1, '25aec2bc-9d9d-4ec7-9ebb-f2789375333e', '01a22b3d-cc9a-782c-ae90-8fc6a1e9899b', 'read back: attempts is 2, it is marked as a retry, its status is running', '{"host": "http://127.0.0.1:38649", "status": "failed", "attempts": 1, "is_retry": false, "scheduled_at": "2026-11-21T11:18:11.483000+00:00"}', '{"rerun_job_id": "01a22b3d-cc9a-782c-ae90-8fc6a1e9899b"}', '2026-11-30 06:56:40.061771+00', '2026-11-30 06:56:40.080175+00', '2026-11-30 06:56:40.062036+00', '2026-11-30 06:56:43.674106+00', '2026-11-30 06:56:43.674106+00', '2026-11-30 06:56:49.8823+00');
INSERT INTO posthog.replays VALUES (1, 41, 'rerun', '019e2545-a208-0000-3375-4708cf33018f', '01a202ab-a374-7c72-bb9c-d6d74ca0e5c1', 'confirmed', 1, '25aec2bc-9d9d-4ec7-9ebb-f2789375333e', '01a22b3d-cc9a-782c-ae90-8fc6a1e9899b', 'read back: attempts is 2, it is marked as a retry, its status is running', '{"host": "http://127.0.0.1:38649", "status": "failed", "attempts": 1, "is_retry": false, "scheduled_at": "2026-11-22T09:52:12.660000+00:00"}', '{"rerun_job_id": "01a22b3d-cc9a-782c-ae90-8fc6a1e9899b"}', '2026-11-30 06:56:40.061771+00', '2026-11-30 06:56:40.080175+00', '2026-11-30 06:56:40.062036+00', '2026-11-30 06:56:43.676375+00', '2026-11-30 06:56:43.676375+00', '2026-11-30 06:56:49.8823+00');
INSERT INTO posthog.replays VALUES (1, 42, 'rerun', '019e2545-a208-0000-3375-4708cf33018f', '01a20e0d-f3bd-70b5-b5ba-0183bdb7162e', 'confirmed', 1, '25aec2bc-9d9d-4ec7-9ebb-f2789375333e', '01a22b3d-cc9a-782c-ae90-8fc6a1e9899b', 'read back: attempts is 2, it is marked as a retry, its status is running', '{"host": "http://127.0.0.1:38649", "status": "failed", "attempts": 1, "is_retry": false, "scheduled_at": "2026-11-24T14:55:25.117000+00:00"}', '{"rerun_job_id": "01a22b3d-cc9a-782c-ae90-8fc6a1e9899b"}', '2026-11-30 06:56:40.061771+00', '2026-11-30 06:56:40.080175+00', '2026-11-30 06:56:40.062036+00', '2026-11-30 06:56:43.678624+00', '2026-11-30 06:56:43.678624+00', '2026-11-30 06:56:49.8823+00');
INSERT INTO posthog.replays VALUES (1, 43, 'rerun', '019e2545-a208-0000-3375-4708cf33018f', '01a21169-425c-7224-8ea4-8a4418b4bd95', 'confirmed', 1, '25aec2bc-9d9d-4ec7-9ebb-f2789375333e', '01a22b3d-cc9a-782c-ae90-8fc6a1e9899b', 'read back: attempts is 2, it is marked as a retry, its status is running', '{"host": "http://127.0.0.1:38649", "status": "failed", "attempts": 1, "is_retry": false, "scheduled_at": "2026-11-25T06:34:00.668000+00:00"}', '{"rerun_job_id": "01a22b3d-cc9a-782c-ae90-8fc6a1e9899b"}', '2026-11-30 06:56:40.061771+00', '2026-11-30 06:56:40.080175+00', '2026-11-30 06:56:40.062036+00', '2026-11-30 06:56:43.680847+00', '2026-11-30 06:56:43.680847+00', '2026-11-30 06:56:49.8823+00');
INSERT INTO posthog.replays VALUES (1, 44, 'rerun', '019e2545-a208-0000-3375-4708cf33018f', '01a22b3a-b25b-7dcf-9607-096720c8ba5a', 'confirmed', 1, '25aec2bc-9d9d-4ec7-9ebb-f2789375333e', '01a22b3d-cc9a-782c-ae90-8fc6a1e9899b', 'read back: attempts is 2, it is marked as a retry, its status is running', '{"host": "http://127.0.0.1:38649", "status": "failed", "attempts": 1, "is_retry": false, "scheduled_at": "2026-11-30T06:53:16.763000+00:00"}', '{"rerun_job_id": "01a22b3d-cc9a-782c-ae90-8fc6a1e9899b"}', '2026-11-30 06:56:40.061771+00', '2026-11-30 06:56:40.080175+00', '2026-11-30 06:56:40.062036+00', '2026-11-30 06:56:43.683005+00', '2026-11-30 06:56:43.683005+00', '2026-11-30 06:56:49.8823+00');
INSERT INTO posthog.replays VALUES (1, 45, 'rerun', '019e2545-a208-0000-6776-464be0322ab5', '01a207a2-3280-7dbb-81c7-78be7a8c306c', 'confirmed', 1, '2590ddee-1875-4378-acfe-4545ab627e51', '01a22b3d-dbbb-79ad-bd89-5042ca2b5b93', 'read back: attempts is 2, it is marked as a retry, its status is running', '{"host": "http://127.0.0.1:38649", "status": "failed", "attempts": 1, "is_retry": false, "scheduled_at": "2026-11-23T09:00:00+00:00"}', '{"rerun_job_id": "01a22b3d-dbbb-79ad-bd89-5042ca2b5b93"}', '2026-11-30 06:56:43.953219+00', '2026-11-30 06:56:43.958666+00', '2026-11-30 06:56:43.017686+00', '2026-11-30 06:56:47.485289+00', '2026-11-30 06:56:47.485289+00', '2026-11-30 06:56:49.8823+00');
INSERT INTO posthog.replays VALUES (1, 46, 'rerun', '019e2545-a208-0000-6776-464be0322ab5', '01a207a2-3280-7e0e-98f4-15bbdd7d5f70', 'confirmed', 1, '2590ddee-1875-4378-acfe-4545ab627e51', '01a22b3d-dbbb-79ad-bd89-5042ca2b5b93', 'read back: attempts is 2, it is marked as a retry, its status is running', '{"host": "http://127.0.0.1:38649", "status": "failed", "attempts": 1, "is_retry": false, "scheduled_at": "2026-11-23T09:00:00+00:00"}', '{"rerun_job_id": "01a22b3d-dbbb-79ad-bd89-5042ca2b5b93"}', '2026-11-30 06:56:43.953219+00', '2026-11-30 06:56:43.958666+00', '2026-11-30 06:56:43.017686+00', '2026-11-30 06:56:47.490701+00', '2026-11-30 06:56:47.490701+00', '2026-11-30 06:56:49.8823+00');
INSERT INTO posthog.replays VALUES (1, 47, 'rerun', '019e2545-a208-0000-6776-464be0322ab5', '01a207a2-3280-734d-94de-2b2f97f8cb2f', 'confirmed', 1, '2590ddee-1875-4378-acfe-4545ab627e51', '01a22b3d-dbbb-79ad-bd89-5042ca2b5b93', 'read back: attempts is 2, it is marked as a retry, its status is running', '{"host": "http://127.0.0.1:38649", "status": "failed", "attempts": 1, "is_retry": false, "scheduled_at": "2026-11-23T09:00:00+00:00"}', '{"rerun_job_id": "01a22b3d-dbbb-79ad-bd89-5042ca2b5b93"}', '2026-11-30 06:56:43.953219+00', '2026-11-30 06:56:43.958666+00', '2026-11-30 06:56:43.017686+00', '2026-11-30 06:56:47.493879+00', '2026-11-30 06:56:47.493879+00', '2026-11-30 06:56:49.8823+00');

INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-757d-f7b0b4a5e1c7', 'trigger_node', 0, 'Trigger', '', 'trigger', NULL, NULL, '{"type": "event", "filters": {"events": [{"id": "invite sent", "name": "invite sent", "type": "events", "order": 0}], "source": "events", "properties": []}}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-757d-f7b0b4a5e1c7', 'action_hook', 1, 'Webhook', '', 'function', 'template-webhook', NULL, '{"inputs": {"url": {"order": 0, "value": "[redacted]"}, "body": {"order": 2, "value": "[redacted]"}, "debug": {"order": 4, "value": "[redacted]"}, "method": {"order": 1, "value": "[redacted]"}, "headers": {"order": 3, "value": "[redacted]"}}, "template_id": "template-webhook"}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-757d-f7b0b4a5e1c7', 'exit_node', 2, 'Exit', '', 'exit', NULL, NULL, '{"reason": "Default exit"}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-0974-eaddc368bcc0', 'trigger_node', 0, 'Trigger', '', 'trigger', 'template-source-webhook', NULL, '{"type": "webhook", "inputs": {"event": {"order": 0, "value": "[redacted]"}, "auth_header": {"secret": true}, "distinct_id": {"order": 1, "value": "[redacted]"}}, "template_id": "template-source-webhook"}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-0974-eaddc368bcc0', 'action_function_crm', 1, 'Update contact', '', 'function', 'template-crm-contact', 'continue', '{"inputs": {"email": {"order": 1, "value": "[redacted]"}, "access_token": {"secret": true}}, "template_id": "template-crm-contact"}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-0974-eaddc368bcc0', 'action_function_webhook_1', 2, 'Webhook', '', 'function', 'template-webhook', NULL, '{"inputs": {"url": {"order": 0, "value": "[redacted]"}, "body": {"order": 2, "value": "[redacted]"}, "method": {"order": 1, "value": "[redacted]"}, "headers": {"order": 3, "value": "[redacted]"}}, "template_id": "template-webhook"}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-0974-eaddc368bcc0', 'exit_node', 3, 'Exit', '', 'exit', NULL, NULL, '{"reason": "Default exit"}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-1d4a-6b5d6a2c9ee8', 'trigger_node', 0, 'Trigger', '', 'trigger', NULL, NULL, '{"type": "event", "filters": {"events": [{"id": "trial started", "name": "trial started", "type": "events", "order": 0}], "source": "events", "properties": []}}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-1d4a-6b5d6a2c9ee8', 'action_wait_until_condition_ab12cd34', 1, 'Until they subscribe', '', 'wait_until_condition', NULL, NULL, '{"events": [{"filters": {"events": [{"id": "subscribed", "name": "subscribed", "type": "events", "order": 0}], "source": "events"}}], "condition": {"filters": null}, "max_wait_duration": "11d"}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-1d4a-6b5d6a2c9ee8', 'action_function_email_trial', 2, 'Your trial ends in three days', '', 'function_email', 'template-email', NULL, '{"inputs": {"email": {"order": 0, "value": "[redacted]"}}, "template_id": "template-email"}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-1d4a-6b5d6a2c9ee8', 'exit_node', 3, 'Exit', '', 'exit', NULL, NULL, '{"reason": "Default exit"}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-25ae-3d6258ca0dd3', 'trigger_node', 0, 'Trigger', '', 'trigger', NULL, NULL, '{"type": "batch", "filters": {"properties": [{"key": "newsletter", "type": "person", "value": ["True"], "operator": "exact"}]}}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-25ae-3d6258ca0dd3', 'action_function_email_news', 1, 'What is new this month', '', 'function_email', 'template-email', NULL, '{"inputs": {"email": {"order": 0, "value": "[redacted]"}}, "template_id": "template-email"}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-25ae-3d6258ca0dd3', 'exit_node', 2, 'Exit', '', 'exit', NULL, NULL, '{"reason": "Default exit"}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-6776-464be0322ab5', 'trigger_node', 0, 'Trigger', '', 'trigger', NULL, NULL, '{"type": "schedule"}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-6776-464be0322ab5', 'action_function_digest', 1, 'Webhook', '', 'function', 'template-webhook', NULL, '{"inputs": {"url": {"order": 0, "value": "[redacted]"}, "body": {"order": 2, "value": "[redacted]"}, "method": {"order": 1, "value": "[redacted]"}, "headers": {"order": 3, "value": "[redacted]"}}, "template_id": "template-webhook"}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-6776-464be0322ab5', 'exit_node', 2, 'Exit', '', 'exit', NULL, NULL, '{"reason": "Default exit"}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', 'trigger_node', 0, 'Trigger', '', 'trigger', NULL, NULL, '{"type": "event", "filters": {"events": [{"id": "signed up", "name": "signed up", "type": "events", "order": 0}], "source": "events", "properties": []}}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', 'action_function_email_welcome', 1, 'Welcome aboard', '', 'function_email', 'template-email', NULL, '{"inputs": {"email": {"order": 0, "value": "[redacted]"}}, "template_id": "template-email"}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', 'action_delay_1', 2, 'Wait a day', '', 'delay', NULL, NULL, '{"delay_duration": "1d"}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', 'action_function_email_tips', 3, 'Three things to try first', '', 'function_email', 'template-email', NULL, '{"inputs": {"email": {"order": 0, "value": "[redacted]"}}, "template_id": "template-email"}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', 'exit_node', 4, 'Exit', '', 'exit', NULL, NULL, '{"reason": "Default exit"}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-7db3-f6cf0bbb3f86', 'trigger_node', 0, 'Trigger', '', 'trigger', NULL, NULL, '{"type": "batch", "filters": {"properties": []}}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-7db3-f6cf0bbb3f86', 'action_function_email_bf', 1, '40 % off until Monday', '', 'function_email', 'template-email', NULL, '{"inputs": {"email": {"order": 0, "value": "[redacted]"}}, "template_id": "template-email"}', NULL, '{}', '2026-11-30 06:56:24.318045+00');
INSERT INTO posthog.workflow_actions VALUES (1, '019e2545-a208-0000-7db3-f6cf0bbb3f86', 'exit_node', 2, 'Exit', '', 'exit', NULL, NULL, '{"reason": "Default exit"}', NULL, '{}', '2026-11-30 06:56:24.318045+00');

INSERT INTO posthog.workflow_batch_jobs VALUES (1, '019e2545-a208-0000-25ae-3d6258ca0dd3', '01a22b3d-eae8-0000-1e3b-49bf47b87a31', 'completed', '{"properties": [{"key": "newsletter", "type": "person", "value": ["True"], "operator": "exact"}]}', '{}', 'owner@example.com', '2026-11-30 06:56:47.84802+00', '2026-11-30 06:57:17.84802+00', '{}', '2026-11-30 06:56:50.108308+00');
INSERT INTO posthog.workflow_batch_jobs VALUES (1, '019e2545-a208-0000-25ae-3d6258ca0dd3', '01a19166-dd00-0000-51ef-bffad5ac4a97', 'completed', '{"properties": [{"key": "newsletter", "type": "person", "value": ["True"], "operator": "exact"}]}', '{"issue": "2026-10"}', 'owner@example.com', '2026-10-31 10:00:00+00', '2026-10-31 10:00:30+00', '{}', '2026-11-30 06:56:50.108308+00');
INSERT INTO posthog.workflow_batch_jobs VALUES (1, '019e2545-a208-0000-25ae-3d6258ca0dd3', '01a0f6e8-1500-0000-439c-b9b0070394a3', 'completed', '{"properties": [{"key": "newsletter", "type": "person", "value": ["True"], "operator": "exact"}]}', '{"issue": "2026-10"}', 'owner@example.com', '2026-10-01 10:00:00+00', '2026-10-01 10:00:30+00', '{}', '2026-11-30 06:56:50.108308+00');
INSERT INTO posthog.workflow_batch_jobs VALUES (1, '019e2545-a208-0000-25ae-3d6258ca0dd3', '01a05c69-4d00-0000-20c3-13941f916a22', 'completed', '{"properties": [{"key": "newsletter", "type": "person", "value": ["True"], "operator": "exact"}]}', '{"issue": "2026-09"}', 'owner@example.com', '2026-09-01 10:00:00+00', '2026-09-01 10:00:30+00', '{}', '2026-11-30 06:56:50.108308+00');

INSERT INTO posthog.workflow_edges VALUES (1, '019e2545-a208-0000-757d-f7b0b4a5e1c7', 0, 'trigger_node', 'action_hook', 'continue', NULL, '{}', '2026-11-30 06:56:24.408509+00');
INSERT INTO posthog.workflow_edges VALUES (1, '019e2545-a208-0000-757d-f7b0b4a5e1c7', 1, 'action_hook', 'exit_node', 'continue', NULL, '{}', '2026-11-30 06:56:24.408509+00');
INSERT INTO posthog.workflow_edges VALUES (1, '019e2545-a208-0000-0974-eaddc368bcc0', 0, 'trigger_node', 'action_function_crm', 'continue', NULL, '{}', '2026-11-30 06:56:24.408509+00');
INSERT INTO posthog.workflow_edges VALUES (1, '019e2545-a208-0000-0974-eaddc368bcc0', 1, 'action_function_crm', 'action_function_webhook_1', 'continue', NULL, '{}', '2026-11-30 06:56:24.408509+00');
INSERT INTO posthog.workflow_edges VALUES (1, '019e2545-a208-0000-0974-eaddc368bcc0', 2, 'action_function_webhook_1', 'exit_node', 'continue', NULL, '{}', '2026-11-30 06:56:24.408509+00');
INSERT INTO posthog.workflow_edges VALUES (1, '019e2545-a208-0000-1d4a-6b5d6a2c9ee8', 0, 'trigger_node', 'action_wait_until_condition_ab12cd34', 'continue', NULL, '{}', '2026-11-30 06:56:24.408509+00');
INSERT INTO posthog.workflow_edges VALUES (1, '019e2545-a208-0000-1d4a-6b5d6a2c9ee8', 1, 'action_wait_until_condition_ab12cd34', 'action_function_email_trial', 'continue', NULL, '{}', '2026-11-30 06:56:24.408509+00');
INSERT INTO posthog.workflow_edges VALUES (1, '019e2545-a208-0000-1d4a-6b5d6a2c9ee8', 2, 'action_function_email_trial', 'exit_node', 'continue', NULL, '{}', '2026-11-30 06:56:24.408509+00');
INSERT INTO posthog.workflow_edges VALUES (1, '019e2545-a208-0000-25ae-3d6258ca0dd3', 0, 'trigger_node', 'action_function_email_news', 'continue', NULL, '{}', '2026-11-30 06:56:24.408509+00');
INSERT INTO posthog.workflow_edges VALUES (1, '019e2545-a208-0000-25ae-3d6258ca0dd3', 1, 'action_function_email_news', 'exit_node', 'continue', NULL, '{}', '2026-11-30 06:56:24.408509+00');
INSERT INTO posthog.workflow_edges VALUES (1, '019e2545-a208-0000-6776-464be0322ab5', 0, 'trigger_node', 'action_function_digest', 'continue', NULL, '{}', '2026-11-30 06:56:24.408509+00');
INSERT INTO posthog.workflow_edges VALUES (1, '019e2545-a208-0000-6776-464be0322ab5', 1, 'action_function_digest', 'exit_node', 'continue', NULL, '{}', '2026-11-30 06:56:24.408509+00');
INSERT INTO posthog.workflow_edges VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', 0, 'trigger_node', 'action_function_email_welcome', 'continue', NULL, '{}', '2026-11-30 06:56:24.408509+00');
INSERT INTO posthog.workflow_edges VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', 1, 'action_function_email_welcome', 'action_delay_1', 'continue', NULL, '{}', '2026-11-30 06:56:24.408509+00');
INSERT INTO posthog.workflow_edges VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', 2, 'action_delay_1', 'action_function_email_tips', 'continue', NULL, '{}', '2026-11-30 06:56:24.408509+00');
INSERT INTO posthog.workflow_edges VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', 3, 'action_function_email_tips', 'exit_node', 'continue', NULL, '{}', '2026-11-30 06:56:24.408509+00');
INSERT INTO posthog.workflow_edges VALUES (1, '019e2545-a208-0000-7db3-f6cf0bbb3f86', 0, 'trigger_node', 'action_function_email_bf', 'continue', NULL, '{}', '2026-11-30 06:56:24.408509+00');
INSERT INTO posthog.workflow_edges VALUES (1, '019e2545-a208-0000-7db3-f6cf0bbb3f86', 1, 'action_function_email_bf', 'exit_node', 'continue', NULL, '{}', '2026-11-30 06:56:24.408509+00');

INSERT INTO posthog.workflow_logs VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', '01a22851-786b-7ed8-bef9-09fdb881c20d', '2026-11-29 17:19:21.911+00', 'INFO', 'Workflow completed', '2026-11-30 06:56:28.384754+00');
INSERT INTO posthog.workflow_logs VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', '01a22851-786b-7ed8-bef9-09fdb881c20d', '2026-11-29 17:19:21.811+00', 'INFO', 'Workflow moved to action [Action:exit_node]', '2026-11-30 06:56:28.384754+00');
INSERT INTO posthog.workflow_logs VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', '01a22851-786b-7ed8-bef9-09fdb881c20d', '2026-11-29 17:19:21.611+00', 'DEBUG', 'Executing action [Action:action_function_email_tips]', '2026-11-30 06:56:28.384754+00');
INSERT INTO posthog.workflow_logs VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', '01a22851-786b-7ed8-bef9-09fdb881c20d', '2026-11-29 17:19:19.811+00', 'INFO', 'Workflow moved to action [Action:action_function_email_tips]', '2026-11-30 06:56:28.384754+00');
INSERT INTO posthog.workflow_logs VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', '01a22851-786b-7ed8-bef9-09fdb881c20d', '2026-11-29 17:19:19.611+00', 'DEBUG', 'Executing action [Action:action_delay_1]', '2026-11-30 06:56:28.384754+00');
INSERT INTO posthog.workflow_logs VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', '01a22851-786b-7ed8-bef9-09fdb881c20d', '2026-11-29 17:19:18.811+00', 'INFO', 'Workflow moved to action [Action:action_delay_1]', '2026-11-30 06:56:28.384754+00');
INSERT INTO posthog.workflow_logs VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', '01a22851-786b-7ed8-bef9-09fdb881c20d', '2026-11-29 17:19:18.611+00', 'DEBUG', 'Executing action [Action:action_function_email_welcome]', '2026-11-30 06:56:28.384754+00');
INSERT INTO posthog.workflow_logs VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', '01a22851-786b-7ed8-bef9-09fdb881c20d', '2026-11-29 17:19:17.611+00', 'DEBUG', 'Starting workflow execution at trigger for [Person:019e2545-a208-0000-b6f5-637017a3d218|***] on [Event:4de6e87b-ba4e-4497-bd5f-684e82cb25c6|signed up|2026-11-29T17:19:17.611000+00:00]', '2026-11-30 06:56:28.384754+00');
INSERT INTO posthog.workflow_logs VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', '01a22842-c03d-796b-a2af-35ec77021f75', '2026-11-29 17:03:17.257+00', 'INFO', 'Workflow completed', '2026-11-30 06:56:28.384754+00');
INSERT INTO posthog.workflow_logs VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', '01a22842-c03d-796b-a2af-35ec77021f75', '2026-11-29 17:03:17.157+00', 'INFO', 'Workflow moved to action [Action:exit_node]', '2026-11-30 06:56:28.384754+00');
INSERT INTO posthog.workflow_logs VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', '01a22842-c03d-796b-a2af-35ec77021f75', '2026-11-29 17:03:16.957+00', 'DEBUG', 'Executing action [Action:action_function_email_tips]', '2026-11-30 06:56:28.384754+00');
INSERT INTO posthog.workflow_logs VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', '01a22842-c03d-796b-a2af-35ec77021f75', '2026-11-29 17:03:15.157+00', 'INFO', 'Workflow moved to action [Action:action_function_email_tips]', '2026-11-30 06:56:28.384754+00');

INSERT INTO posthog.workflow_metrics VALUES (1, '019e2545-a208-0000-1d4a-6b5d6a2c9ee8', '', 'run', '', '2026-11-29 16:00:00+00', 'triggered', 1, '2026-11-30 06:56:26.482281+00');
INSERT INTO posthog.workflow_metrics VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', 'action', 'action_function_email_welcome', '2026-11-29 16:00:00+00', 'email_delivered', 1, '2026-11-30 06:56:26.482281+00');
INSERT INTO posthog.workflow_metrics VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', 'action', 'action_function_email_welcome', '2026-11-29 16:00:00+00', 'email_sent', 1, '2026-11-30 06:56:26.482281+00');
INSERT INTO posthog.workflow_metrics VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', 'action', 'action_function_email_welcome', '2026-11-29 17:00:00+00', 'email_delivered', 2, '2026-11-30 06:56:26.482281+00');
INSERT INTO posthog.workflow_metrics VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', 'action', 'action_function_email_welcome', '2026-11-29 17:00:00+00', 'email_sent', 2, '2026-11-30 06:56:26.482281+00');
INSERT INTO posthog.workflow_metrics VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', 'action', 'action_function_email_welcome', '2026-11-29 17:00:00+00', 'succeeded', 2, '2026-11-30 06:56:26.482281+00');
INSERT INTO posthog.workflow_metrics VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', 'action', 'action_delay_1', '2026-11-29 17:00:00+00', 'succeeded', 2, '2026-11-30 06:56:26.482281+00');
INSERT INTO posthog.workflow_metrics VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', 'action', 'action_function_email_tips', '2026-11-29 17:00:00+00', 'email_delivered', 2, '2026-11-30 06:56:26.482281+00');
INSERT INTO posthog.workflow_metrics VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', 'action', 'action_function_email_tips', '2026-11-29 17:00:00+00', 'email_sent', 2, '2026-11-30 06:56:26.482281+00');
INSERT INTO posthog.workflow_metrics VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', 'action', 'action_function_email_tips', '2026-11-29 17:00:00+00', 'succeeded', 2, '2026-11-30 06:56:26.482281+00');
INSERT INTO posthog.workflow_metrics VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', 'run', '', '2026-11-29 17:00:00+00', 'succeeded', 2, '2026-11-30 06:56:26.482281+00');
INSERT INTO posthog.workflow_metrics VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '', 'run', '', '2026-11-29 17:00:00+00', 'triggered', 2, '2026-11-30 06:56:26.482281+00');

INSERT INTO posthog.workflow_runs VALUES (1, '019e2545-a208-0000-0974-eaddc368bcc0', '01a227ff-573c-7259-9b7c-337a147fe9af', 'succeeded', '', '', NULL, '019e2545-a208-0000-4216-eca6a122d3d3', '2026-11-29 15:49:35.164+00', '2026-11-29 15:49:35.164+00', '2026-11-29 15:49:37.464+00', 2300, 1, false, '{}', '2026-11-30 06:56:48.423404+00');
INSERT INTO posthog.workflow_runs VALUES (1, '019e2545-a208-0000-0974-eaddc368bcc0', '01a227ce-6eb6-73c0-9d29-b9372d5a5061', 'succeeded', '', '', NULL, '019e2545-a208-0000-a5fb-e6abcd39a136', '2026-11-29 14:56:09.91+00', '2026-11-29 14:56:09.91+00', '2026-11-29 14:56:12.21+00', 2300, 1, false, '{}', '2026-11-30 06:56:48.423404+00');
INSERT INTO posthog.workflow_runs VALUES (1, '019e2545-a208-0000-0974-eaddc368bcc0', '01a2279e-9b0d-7124-a165-197540f9f8d9', 'succeeded', '', '', NULL, '019e2545-a208-0000-838b-1ce1cacf7664', '2026-11-29 14:03:55.533+00', '2026-11-29 14:03:55.533+00', '2026-11-29 14:03:57.833+00', 2300, 1, false, '{}', '2026-11-30 06:56:48.423404+00');
INSERT INTO posthog.workflow_runs VALUES (1, '019e2545-a208-0000-1d4a-6b5d6a2c9ee8', '01a22820-3fe4-73d5-980f-e5de513b373d', 'succeeded', '', '', NULL, '019e2545-a208-0000-e93f-b89385208751', '2026-11-29 16:25:31.876+00', '2026-11-29 16:25:31.876+00', '2026-11-29 16:25:37.176+00', 5300, 1, false, '{}', '2026-11-30 06:56:48.423404+00');
INSERT INTO posthog.workflow_runs VALUES (1, '019e2545-a208-0000-1d4a-6b5d6a2c9ee8', '01a227ec-f4f0-70f3-a543-5ad14d86a662', 'succeeded', '', '', NULL, '019e2545-a208-0000-053a-63492c0b4dd5', '2026-11-29 15:29:30.352+00', '2026-11-29 15:29:30.352+00', '2026-11-29 15:29:35.652+00', 5300, 1, false, '{}', '2026-11-30 06:56:48.423404+00');
INSERT INTO posthog.workflow_runs VALUES (1, '019e2545-a208-0000-1d4a-6b5d6a2c9ee8', '01a227e2-c8c5-7862-ad37-f0ef75a659a5', 'succeeded', '', '', NULL, '019e2545-a208-0000-8662-14fc20453212', '2026-11-29 15:18:23.685+00', '2026-11-29 15:18:23.685+00', '2026-11-29 15:18:28.985+00', 5300, 1, false, '{}', '2026-11-30 06:56:48.423404+00');
INSERT INTO posthog.workflow_runs VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '01a22851-786b-7ed8-bef9-09fdb881c20d', 'succeeded', '', '', NULL, '019e2545-a208-0000-b6f5-637017a3d218', '2026-11-29 17:19:17.611+00', '2026-11-29 17:19:17.611+00', '2026-11-29 17:19:21.911+00', 4300, 1, false, '{}', '2026-11-30 06:56:48.423404+00');
INSERT INTO posthog.workflow_runs VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '01a22842-c03d-796b-a2af-35ec77021f75', 'succeeded', '', '', NULL, '019e2545-a208-0000-e9b6-1db8ddab09c4', '2026-11-29 17:03:12.957+00', '2026-11-29 17:03:12.957+00', '2026-11-29 17:03:17.257+00', 4300, 1, false, '{}', '2026-11-30 06:56:48.423404+00');
INSERT INTO posthog.workflow_runs VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '01a22819-3266-722d-8109-b725e2fe937b', 'succeeded', '', '', NULL, '019e2545-a208-0000-3635-caffbdcaed94', '2026-11-29 16:17:49.67+00', '2026-11-29 16:17:49.67+00', '2026-11-29 16:17:53.97+00', 4300, 1, false, '{}', '2026-11-30 06:56:48.423404+00');
INSERT INTO posthog.workflow_runs VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '01a227e4-08dc-7e60-82b3-784e254179c8', 'succeeded', '', '', NULL, '019e2545-a208-0000-2ff8-7649d50cc041', '2026-11-29 15:19:45.628+00', '2026-11-29 15:19:45.628+00', '2026-11-29 15:19:49.928+00', 4300, 1, false, '{}', '2026-11-30 06:56:48.423404+00');
INSERT INTO posthog.workflow_runs VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '01a227d3-1f58-7bb0-a4c5-739a96669339', 'succeeded', '', '', NULL, '019e2545-a208-0000-e654-4e6c95e5c1e6', '2026-11-29 15:01:17.272+00', '2026-11-29 15:01:17.272+00', '2026-11-29 15:01:21.572+00', 4300, 1, false, '{}', '2026-11-30 06:56:48.423404+00');
INSERT INTO posthog.workflow_runs VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', '01a227b1-5f05-722f-a06a-7846cdf5fc26', 'succeeded', '', '', NULL, '019e2545-a208-0000-ddfd-b2cc8347eb70', '2026-11-29 14:24:25.349+00', '2026-11-29 14:24:25.349+00', '2026-11-29 14:24:29.649+00', 4300, 1, false, '{}', '2026-11-30 06:56:48.423404+00');

INSERT INTO posthog.workflow_schedules VALUES (1, '019e2545-a208-0000-6776-464be0322ab5', '019e2545-a208-0000-5372-63da9eddca1d', 'active', 'FREQ=WEEKLY;INTERVAL=1;BYDAY=MO', '2026-07-27 08:00:00+00', 'Europe/Zurich', '2026-12-07 08:00:00+00', '{}', '2026-05-14 06:56:21+00', '2026-11-25 06:56:21+00', '{}', '2026-11-30 06:56:24.479309+00');

INSERT INTO posthog.workflows VALUES (1, '019e2545-a208-0000-757d-f7b0b4a5e1c7', 'Referral programme', '', 'draft', 1, 'event', 'exit_on_conversion', 3, '["function"]', '[]', '{"type": "event", "filters": {"events": [{"id": "invite sent", "name": "invite sent", "type": "events", "order": 0}], "source": "events", "properties": []}}', NULL, 'owner@example.com', '2026-05-14 06:56:21+00', '2026-11-30 06:56:21+00', 'http://127.0.0.1:38649/project/1/workflows/019e2545-a208-0000-757d-f7b0b4a5e1c7/workflow', '{"origin_product": null, "user_access_level": null, "email_sending_rate_limit": null}', '2026-11-30 06:56:24.062312+00');
INSERT INTO posthog.workflows VALUES (1, '019e2545-a208-0000-0974-eaddc368bcc0', 'Tell the CRM about upgrades', '', 'active', 1, 'webhook', 'exit_only_at_end', 4, '["function"]', '[]', '{"type": "webhook", "inputs": {"event": {"order": 0, "value": "[redacted]"}, "auth_header": {"secret": true}, "distinct_id": {"order": 1, "value": "[redacted]"}}, "template_id": "template-source-webhook"}', NULL, 'owner@example.com', '2026-05-14 06:56:21+00', '2026-11-27 06:56:21+00', 'http://127.0.0.1:38649/project/1/workflows/019e2545-a208-0000-0974-eaddc368bcc0/workflow', '{"origin_product": null, "user_access_level": null, "email_sending_rate_limit": null}', '2026-11-30 06:56:24.062312+00');
INSERT INTO posthog.workflows VALUES (1, '019e2545-a208-0000-1d4a-6b5d6a2c9ee8', 'Trial ending', 'Reminds people who have not subscribed three days before their trial ends.', 'active', 1, 'event', 'exit_on_conversion', 4, '["function_email"]', '[]', '{"type": "event", "filters": {"events": [{"id": "trial started", "name": "trial started", "type": "events", "order": 0}], "source": "events", "properties": []}}', '{"events": [{"filters": {"events": [{"id": "subscribed", "name": "subscribed", "type": "events", "order": 0}], "source": "events"}}], "filters": [], "window_minutes": 20160}', 'owner@example.com', '2026-05-14 06:56:21+00', '2026-11-18 06:56:21+00', 'http://127.0.0.1:38649/project/1/workflows/019e2545-a208-0000-1d4a-6b5d6a2c9ee8/workflow', '{"origin_product": null, "user_access_level": null, "email_sending_rate_limit": null}', '2026-11-30 06:56:24.062312+00');
INSERT INTO posthog.workflows VALUES (1, '019e2545-a208-0000-25ae-3d6258ca0dd3', 'Monthly newsletter', '', 'active', 1, 'batch', 'exit_only_at_end', 3, '["function_email"]', '[{"key": "issue", "type": "string", "default": ""}]', '{"type": "batch", "filters": {"properties": [{"key": "newsletter", "type": "person", "value": ["True"], "operator": "exact"}]}}', NULL, 'owner@example.com', '2026-05-14 06:56:21+00', '2026-11-10 06:56:21+00', 'http://127.0.0.1:38649/project/1/workflows/019e2545-a208-0000-25ae-3d6258ca0dd3/workflow', '{"origin_product": null, "user_access_level": null, "email_sending_rate_limit": null}', '2026-11-30 06:56:24.062312+00');
INSERT INTO posthog.workflows VALUES (1, '019e2545-a208-0000-6776-464be0322ab5', 'Win back quiet accounts', '', 'active', 1, 'schedule', 'exit_only_at_end', 3, '["function"]', '[]', '{"type": "schedule"}', NULL, 'owner@example.com', '2026-05-14 06:56:21+00', '2026-10-28 06:56:21+00', 'http://127.0.0.1:38649/project/1/workflows/019e2545-a208-0000-6776-464be0322ab5/workflow', '{"origin_product": null, "user_access_level": null, "email_sending_rate_limit": null}', '2026-11-30 06:56:24.062312+00');
INSERT INTO posthog.workflows VALUES (1, '019e2545-a208-0000-3375-4708cf33018f', 'Welcome new users', 'Two e-mails in the first two days after sign-up.', 'active', 1, 'event', 'exit_only_at_end', 5, '["function_email"]', '[]', '{"type": "event", "filters": {"events": [{"id": "signed up", "name": "signed up", "type": "events", "order": 0}], "source": "events", "properties": []}}', NULL, 'owner@example.com', '2026-05-14 06:56:21+00', '2026-10-21 06:56:21+00', 'http://127.0.0.1:38649/project/1/workflows/019e2545-a208-0000-3375-4708cf33018f/workflow', '{"origin_product": null, "user_access_level": null, "email_sending_rate_limit": null}', '2026-11-30 06:56:24.062312+00');
INSERT INTO posthog.workflows VALUES (1, '01a05bc1-2a08-0000-a6e7-e6564281fded', NULL, '', 'draft', 1, NULL, 'exit_on_conversion', 0, '[]', '[]', '{}', NULL, 'owner@example.com', '2026-09-01 06:56:21+00', '2026-09-01 06:56:21+00', 'http://127.0.0.1:38649/project/1/workflows/01a05bc1-2a08-0000-a6e7-e6564281fded/workflow', '{"origin_product": null, "user_access_level": null, "email_sending_rate_limit": null}', '2026-11-30 06:56:24.062312+00');
INSERT INTO posthog.workflows VALUES (1, '019e2545-a208-0000-7db3-f6cf0bbb3f86', 'Black Friday', '', 'archived', 1, 'batch', 'exit_on_conversion', 3, '["function_email"]', '[]', '{"type": "batch", "filters": {"properties": []}}', NULL, 'owner@example.com', '2026-05-14 06:56:21+00', '2026-07-03 06:56:21+00', 'http://127.0.0.1:38649/project/1/workflows/019e2545-a208-0000-7db3-f6cf0bbb3f86/workflow', '{"origin_product": null, "user_access_level": null, "email_sending_rate_limit": null}', '2026-11-30 06:56:24.062312+00');

ALTER TABLE ONLY posthog.batch_sends
    ADD CONSTRAINT batch_sends_pkey PRIMARY KEY (project_id, act_id);

ALTER TABLE ONLY posthog.blocked_runs
    ADD CONSTRAINT blocked_runs_pkey PRIMARY KEY (project_id, workflow_id, instance_id);

ALTER TABLE ONLY posthog.group_types
    ADD CONSTRAINT group_types_pkey PRIMARY KEY (project_id, group_type_index);

ALTER TABLE ONLY posthog.hog_function_metrics
    ADD CONSTRAINT hog_function_metrics_pkey PRIMARY KEY (project_id, function_id, hour, metric);

ALTER TABLE ONLY posthog.hog_functions
    ADD CONSTRAINT hog_functions_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY posthog.insights
    ADD CONSTRAINT insights_pkey PRIMARY KEY (project_id, id);

ALTER TABLE ONLY posthog.replays
    ADD CONSTRAINT replays_pkey PRIMARY KEY (project_id, act_id);

ALTER TABLE ONLY posthog.workflow_actions
    ADD CONSTRAINT workflow_actions_pkey PRIMARY KEY (project_id, workflow_id, action_id, "position");

ALTER TABLE ONLY posthog.workflow_batch_jobs
    ADD CONSTRAINT workflow_batch_jobs_pkey PRIMARY KEY (project_id, workflow_id, id);

ALTER TABLE ONLY posthog.workflow_edges
    ADD CONSTRAINT workflow_edges_pkey PRIMARY KEY (project_id, workflow_id, "position");

ALTER TABLE ONLY posthog.workflow_metrics
    ADD CONSTRAINT workflow_metrics_pkey PRIMARY KEY (project_id, workflow_id, batch_job_id, level, action_id, hour, metric);

ALTER TABLE ONLY posthog.workflow_runs
    ADD CONSTRAINT workflow_runs_pkey PRIMARY KEY (project_id, workflow_id, invocation_id, scheduled_at);

ALTER TABLE ONLY posthog.workflow_schedules
    ADD CONSTRAINT workflow_schedules_pkey PRIMARY KEY (project_id, workflow_id, id);

ALTER TABLE ONLY posthog.workflows
    ADD CONSTRAINT workflows_pkey PRIMARY KEY (project_id, id);

CREATE INDEX hog_function_logs_timestamp_idx ON posthog.hog_function_logs USING brin ("timestamp") WITH (autosummarize='true');

CREATE INDEX hog_function_metrics_hour_idx ON posthog.hog_function_metrics USING brin (hour) WITH (autosummarize='true');

CREATE INDEX workflow_logs_timestamp_idx ON posthog.workflow_logs USING brin ("timestamp") WITH (autosummarize='true');

CREATE INDEX workflow_metrics_hour_idx ON posthog.workflow_metrics USING brin (hour) WITH (autosummarize='true');

CREATE INDEX workflow_runs_scheduled_at_idx ON posthog.workflow_runs USING brin (scheduled_at) WITH (autosummarize='true');

