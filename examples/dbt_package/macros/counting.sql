{# The day of a moment in UTC, whatever the session's time zone. #}
{% macro utc_day(column) %}
  cast({{ column }} at time zone 'UTC' as date)
{% endmacro %}

{# A sum over the rows of one metric. #}
{% macro counted(metric) %}
  coalesce(sum(case when metric = '{{ metric }}' then value end), 0)
{% endmacro %}
