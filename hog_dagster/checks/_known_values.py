"""What this version knows of PostHog's open sets: extra fields, statuses, levels, types, metrics.

Facts: PostHog's source and running servers of April 2026 to September 2026. A set here is a
memory, not a rule: what is not in it loads all the same and only makes the drift check speak.
"""

#: Table -> fields that newer servers send and that have no column on purpose.
KNOWN_EXTRAS: dict[str, frozenset[str]] = {
    "workflows": frozenset({"email_sending_rate_limit", "origin_product", "user_access_level"}),
}

_STEPS = frozenset(
    {
        "trigger",
        "function",
        "function_email",
        "function_sms",
        "function_push",
        "delay",
        "wait_until_condition",
        "wait_until_time_window",
        "conditional_branch",
        "random_cohort_branch",
        "exit",
    }
)
_METRICS = frozenset(
    {
        "succeeded",
        "failed",
        "filtered",
        "early_exit",
        "triggered",
        "masked",
        "conversion",
        "trigger_failed",
        "billable_invocation",
        "email_sent",
        "email_delivered",
        "email_failed",
        "email_opened",
        "email_link_clicked",
        "email_bounced",
        "email_bounced_hard",
        "email_bounce_prevented",
        "email_blocked",
        "email_spam",
        "push_sent",
        "push_skipped",
        "push_failed",
    }
)

#: Table -> column -> values seen so far.
KNOWN_VALUES: dict[str, dict[str, frozenset[str]]] = {
    "workflows": {
        "status": frozenset({"draft", "active", "archived"}),
        "trigger_type": frozenset(
            {
                "event",
                "webhook",
                "manual",
                "tracking_pixel",
                "batch",
                "schedule",
                "data-warehouse-table",
                "data-warehouse-view",
                "internal-event",
            }
        ),
        "exit_condition": frozenset(
            {
                "exit_on_conversion",
                "exit_on_trigger_not_matched",
                "exit_on_trigger_not_matched_or_conversion",
                "exit_only_at_end",
            }
        ),
    },
    "workflow_actions": {
        "type": _STEPS,
        "on_error": frozenset({"continue", "abort", "complete", "branch"}),
    },
    "workflow_edges": {"type": frozenset({"continue", "branch"})},
    "workflow_schedules": {"status": frozenset({"active", "paused", "completed"})},
    "workflow_batch_jobs": {
        "status": frozenset({"waiting", "queued", "active", "completed", "cancelled", "failed"})
    },
    "workflow_metrics": {"metric": _METRICS},
    "workflow_logs": {"level": frozenset({"DEBUG", "LOG", "INFO", "WARN", "WARNING", "ERROR"})},
    "workflow_runs": {"status": frozenset({"running", "succeeded", "failed"})},
}
