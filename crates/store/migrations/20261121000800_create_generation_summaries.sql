-- What operators look at (data model 2.8).

-- A generation that is active and has not moved for this long is stuck.
create function app.stuck_after() returns interval language sql immutable as $$ select interval '1 hour' $$;

create function public.get_generation_summary(course_id uuid) returns jsonb language sql stable as $$
  select jsonb_build_object(
    'course_id', c.id,
    'title', c.title,
    'status', c.generation_status,
    'percentage', (c.generation_progress ->> 'percentage')::int,
    'current_step', (c.generation_progress ->> 'current_step')::int,
    'message', c.generation_progress ->> 'message',
    'lessons_completed', (c.generation_progress ->> 'lessons_completed')::int,
    'lessons_total', (c.generation_progress ->> 'lessons_total')::int,
    'generation_id', g.id,
    'started_at', g.started_at,
    'finished_at', g.finished_at,
    'duration_seconds', extract(epoch from coalesce(g.finished_at, now()) - g.created_at)::int,
    'cost_usd', (select coalesce(sum(m.cost_usd_micros), 0) / 1000000.0 from model_calls m where m.generation_id = g.id),
    'budget_usd', g.budget_usd_micros / 1000000.0,
    'error_code', g.error_code,
    'error_message', g.error_message,
    'updated_at', c.updated_at,
    'is_stuck', coalesce(c.generation_status not in ('completed', 'failed', 'cancelled')
                         and c.updated_at < now() - app.stuck_after(), false),
    'history', (select coalesce(jsonb_agg(jsonb_build_object('old', h.old_status, 'new', h.new_status, 'at', h.at,
                                                             'source', h.source) order by h.id), '[]')
                from generation_status_history h where h.course_id = c.id))
  from courses c left join generations g on g.id = c.current_generation_id
  where c.id = get_generation_summary.course_id
$$;

-- A view runs as its reader, so that its rows are those the reader may see.
create view public.admin_generation_dashboard with (security_invoker = true) as
select
  c.generation_status,
  count(*) as courses,
  avg(coalesce(g.finished_at, now()) - g.created_at) as average_duration,
  max(c.updated_at) as most_recent,
  count(*) filter (where c.generation_status not in ('completed', 'failed', 'cancelled')
                   and c.updated_at < now() - app.stuck_after()) as stuck
from public.courses c left join public.generations g on g.id = c.current_generation_id
where c.generation_status is not null
group by c.generation_status;
