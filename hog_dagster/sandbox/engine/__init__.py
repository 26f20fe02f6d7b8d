"""What goes on behind the API as the clock moves: reruns, batch jobs, schedules."""
