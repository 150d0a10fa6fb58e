-- An idempotency key gives the answer of the first start for as long as the generation is kept, though ended jobs are
-- removed earlier, and for the same request alone: `options.request_hash` tells whether it is.

alter table public.generations add column first_job_id uuid, add column first_stage text;

-- Row-level security is forced for the owner too.
do $$
begin
  set local role service_role;
  update public.generations as g set first_job_id = j.id, first_stage = j.stage
  from (select distinct on (generation_id) generation_id, id, stage from public.jobs
        order by generation_id, created_at, id) as j
  where j.generation_id = g.id;
  -- What a start whose jobs are gone has answered is not known any more.
  update public.generations set idempotency_key = null where first_job_id is null;
  reset role;
end $$;

alter table public.generations add constraint generations_first_job
  check ((first_job_id is null) = (first_stage is null));

-- The whole start, after the caller has made sure that the person may (service 4.2). Locks are taken in the order user,
-- course, slot, each in a statement of its own: what is counted after a lock was granted is seen as it is then.
-- Outcomes: `started`; `repeated` (the answer of an earlier start with the same key); `active`; `unfinished` (a part
-- is to be made anew, but there is no such part); `other_request` (the key belongs to a start that asked for something
-- else); `user_limit`; `global_limit`.
-- After `started` and `repeated` the transaction's role is `then_role`.
create or replace function app.start_generation(
  wanted_id uuid, job_id uuid, course uuid, person uuid, budget bigint, seed bigint, options jsonb,
  idempotency_key text, webhook_url text, user_limit int, global_limit int, message text, then_role text,
  out outcome text, out generation uuid, out job uuid, out stage text, out tier text, out user_active int,
  out global_active int
) language plpgsql as $$
#variable_conflict use_column
declare
  found_course record;
  limits record;
  kind text := coalesce($7 #>> '{scope,kind}', 'whole');
  part int := ($7 #>> '{scope,number}')::int;
  with_documents boolean;
  is_other boolean;
  progress jsonb;
  done_steps int;
  at text := to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
begin
  perform from public.users as u where u.id = person for no key update;
  select c.generation_status, c.course_structure, c.organization_id, c.generation_progress into found_course
  from public.courses as c where c.id = course for update;

  -- The same transaction once more, or the same key.
  select g.id, g.first_job_id, g.first_stage, g.options ->> 'request_hash' is distinct from $7 ->> 'request_hash'
  into generation, job, stage, is_other
  from public.generations as g
  where g.course_id = course and (g.id = wanted_id or g.idempotency_key = $8)
  order by g.created_at limit 1;
  if found and is_other then
    outcome := 'other_request';
    generation := null;
    return;
  end if;
  if found then
    outcome := case when generation = wanted_id then 'started' else 'repeated' end;
    perform set_config('role', then_role, true);
    return;
  end if;
  if found_course.generation_status not in ('completed', 'failed', 'cancelled') then
    outcome := 'active';
    return;
  end if;
  if kind = 'section' and not coalesce(part between 1 and jsonb_array_length(found_course.course_structure -> 'sections'), false)
     or kind = 'lesson' and not exists (
       select from public.lesson_contents as l where l.course_id = course and l.lesson_number = part) then
    outcome := 'unfinished';
    return;
  end if;

  with_documents := kind = 'whole' and exists (
    select from public.documents as d where d.course_id = course and d.status <> 'failed');
  select * into limits from app.check_generation_limits(person, wanted_id, user_limit, global_limit);
  tier := limits.tier;
  user_active := limits.user_active;
  global_active := limits.global_active;
  if limits.outcome <> 'ok' then
    outcome := limits.outcome;
    return;
  end if;
  stage := case when kind = 'section' then 'structure' when kind = 'lesson' then 'content'
                when with_documents then 'document_processing' else 'analysis' end;
  insert into public.generations
    (id, course_id, organization_id, user_id, status, budget_usd_micros, seed, options, idempotency_key, webhook_url,
     first_job_id, first_stage)
  values (wanted_id, course, found_course.organization_id, person, 'pending', budget, $6, $7, $8, $9, job_id, stage);

  -- What is kept counts as done.
  done_steps := case kind when 'section' then 2 when 'lesson' then 3 else 1 end;
  progress := app.new_progress(with_documents);
  progress := progress || jsonb_build_object(
    'steps', (select jsonb_agg(case when (step ->> 'id')::int <= done_steps
                               then app.step_after(step, 'completed', null, null, at) else step end
                               order by (step ->> 'id')::int)
              from jsonb_array_elements(progress -> 'steps') as step),
    'percentage', 20 * done_steps, 'current_step', done_steps, 'message', message);
  if kind = 'lesson' then
    -- The other texts count as made by this generation; the old text stays until the new one is there.
    update public.lesson_contents as l set generation_id = wanted_id,
      status = case when l.lesson_number = part then 'pending' else l.status end
    where l.course_id = course;
    progress := progress || (
      select jsonb_build_object('lessons_total', count(*),
        'lessons_completed', count(*) filter (where l.status in ('completed', 'needs_review')))
      from public.lesson_contents as l where l.course_id = course);
  end if;
  update public.courses as c set
    current_generation_id = wanted_id, generation_progress = progress, generation_status = 'pending',
    analysis_result = case when kind = 'whole' then null else c.analysis_result end,
    generation_metadata = case when kind = 'whole' then null else c.generation_metadata end,
    quality_report = case when kind = 'whole' then null else c.quality_report end
  where c.id = course;
  update public.courses as c set generation_status = 'initializing' where c.id = course;
  insert into public.jobs (id, organization_id, user_id, course_id, generation_id, stage, priority)
  values (job_id, found_course.organization_id, person, course, wanted_id, stage, limits.priority);
  outcome := 'started';
  generation := wanted_id;
  job := job_id;
  perform set_config('role', then_role, true);
end $$;
