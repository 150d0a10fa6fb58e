-- Optimistic concurrency of editing, and what workers can do at once.

grant create on schema app, public to service_role;

-- Rises with every change of what people edit, and of the structure.
alter table public.courses add column revision int not null default 1;

create function app.raise_revision() returns trigger language plpgsql as $$
begin
  new.revision := old.revision + 1;
  return new;
end $$;
create trigger courses_raise_revision
  before update of slug, title, language, style, target_audience, desired_lessons_count, desired_modules_count,
    lesson_duration_minutes, learning_outcomes, content_strategy, review, budget_usd_micros, status, course_structure
  on public.courses
  for each row when (
    (old.slug, old.title, old.language, old.style, old.target_audience, old.desired_lessons_count,
     old.desired_modules_count, old.lesson_duration_minutes, old.learning_outcomes, old.content_strategy, old.review,
     old.budget_usd_micros, old.status, old.course_structure)
    is distinct from
    (new.slug, new.title, new.language, new.style, new.target_audience, new.desired_lessons_count,
     new.desired_modules_count, new.lesson_duration_minutes, new.learning_outcomes, new.content_strategy, new.review,
     new.budget_usd_micros, new.status, new.course_structure))
  execute function app.raise_revision();

-- Jobs that a worker process runs at once.
alter table public.workers add column capacity int not null default 1 check (capacity >= 0);

create index generations_finished on public.generations (finished_at) where finished_at is not null;
create index generations_user on public.generations (user_id, created_at desc);

revoke execute on function app.raise_revision() from public;
grant execute on function app.raise_revision() to authenticated, service_role;
revoke create on schema app, public from service_role;

create index generation_status_history_generation on public.generation_status_history (generation_id, id);
