"""What must happen once: replays, reruns, batch sends, schedules, group pushes. No Dagster."""
