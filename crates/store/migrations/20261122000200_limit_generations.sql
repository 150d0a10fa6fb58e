-- Starting a generation in one statement, with limits that cannot be passed and slots that cannot leak (service 4.2, 4.3).

grant create on schema app, public to service_role;

alter table public.generations add column webhook_url text check (length(webhook_url) between 1 and 2000);

-- The installation's places for active generations. A place is taken by setting its generation, and is free again when
-- the generation ends in any way, its deletion included. It is taken just before the generation is inserted.
create table public.generation_slots (
  number int primary key check (number >= 1),
  generation_id uuid unique references public.generations on delete set null deferrable initially deferred
);
create index generation_slots_taken on public.generation_slots (number) where generation_id is not null;
create index generation_slots_free on public.generation_slots (number) where generation_id is null;
alter table public.generation_slots enable row level security;
alter table public.generation_slots force row level security;
create policy service_all on public.generation_slots to service_role using (true) with check (true);
grant select, insert, update, delete on public.generation_slots to service_role;

-- Takes a place for a generation that is about to be active; false if all are taken.
create function app.take_generation_slot(generation uuid, global_limit int) returns boolean language plpgsql as $$
declare
  highest int;
  taken int;
begin
  if global_limit is null then
    return true;
  end if;
  if coalesce((select max(number) from public.generation_slots), 0) < global_limit then
    insert into public.generation_slots (number) select generate_series(1, global_limit)
    on conflict (number) do nothing;
  end if;
  -- The limit may have fallen below numbers that are taken. Then only so many low ones may be given away that both
  -- together stay within it.
  highest := global_limit;
  if exists (select from public.generation_slots where number > global_limit and generation_id is not null) then
    select coalesce(max(k), 0) into highest from generate_series(0, global_limit) as k
    where k + (select count(*) from public.generation_slots where number > k and generation_id is not null)
          <= global_limit;
  end if;
  update public.generation_slots set generation_id = generation
  where number = (select number from public.generation_slots
                  where generation_id is null and number <= highest
                  order by number limit 1 for update skip locked)
  returning number into taken;
  return taken is not null;
end $$;

create function app.free_generation_slot() returns trigger language plpgsql
  security definer set search_path = '' as $$
begin
  update public.generation_slots set generation_id = null where generation_id = new.id;
  return null;
end $$;
create trigger generations_free_slot after update of status on public.generations
  for each row when (new.status in ('completed', 'failed', 'cancelled') and old.status is distinct from new.status)
  execute function app.free_generation_slot();

-- As before, without the second write where the generation was inserted in this state.
create or replace function app.record_generation_status() returns trigger language plpgsql
  security definer set search_path = '' as $$
begin
  if new.generation_status is not distinct from old.generation_status then
    return null;
  end if;
  insert into public.generation_status_history
    (course_id, organization_id, generation_id, old_status, new_status, actor_id, source, metadata)
  values (
    new.id, new.organization_id, new.current_generation_id, old.generation_status, new.generation_status,
    coalesce(nullif(current_setting('app.actor', true), '')::uuid, auth.uid()),
    coalesce(nullif(current_setting('app.source', true), ''), 'system'),
    coalesce(nullif(current_setting('app.status_metadata', true), '')::jsonb, '{}'));
  update public.generations as g set
    status = new.generation_status,
    started_at = case when new.generation_status not in ('pending', 'initializing', 'failed', 'cancelled')
                      then coalesce(g.started_at, now()) else g.started_at end,
    finished_at = case when new.generation_status in ('completed', 'failed', 'cancelled') then now() end
  where g.id = new.current_generation_id
    and (g.status <> new.generation_status or g.finished_at is not null);
  return null;
end $$;

-- Checks the two limits for a user whose row is locked, and takes a slot for the generation. The outcome is `ok`,
-- `user_limit` or `global_limit`. A superadmin works with the limits and the priority of the highest tier.
create function app.check_generation_limits(
  person uuid, generation uuid, user_limit int, global_limit int,
  out outcome text, out tier text, out priority smallint, out user_active int, out global_active int
) language plpgsql as $$
#variable_conflict use_column
begin
  select s.tier, s.priority into tier, priority
  from public.users as u
  join public.organizations as o on o.id = u.organization_id
  join public.tier_settings as s on s.tier = case when u.role = 'superadmin' then 'premium' else o.tier end
  where u.id = person;
  select count(*) into user_active from public.generations as g
  where g.user_id = person and g.id <> generation and g.status not in ('completed', 'failed', 'cancelled');
  if user_active >= user_limit then
    outcome := 'user_limit';
  elsif app.take_generation_slot(generation, global_limit) then
    outcome := 'ok';
  else
    outcome := 'global_limit';
    select count(*) into global_active from public.generation_slots as s where s.generation_id is not null;
  end if;
end $$;

-- The whole start, after the caller has made sure that the person may (service 4.2). Locks are taken in the order user,
-- course, slot, each in a statement of its own: what is counted after a lock was granted is seen as it is then.
-- Outcomes: `started`; `repeated` (the answer of an earlier start with the same key); `active`; `unfinished` (a part
-- is to be made anew, but there is no such part); `user_limit`; `global_limit`.
-- After `started` and `repeated` the transaction's role is `then_role`.
create function app.start_generation(
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
  progress jsonb;
  done_steps int;
  at text := to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
begin
  perform from public.users as u where u.id = person for no key update;
  select c.generation_status, c.course_structure, c.organization_id, c.generation_progress into found_course
  from public.courses as c where c.id = course for update;

  -- The same transaction once more, or the same key.
  select g.id, j.id, j.stage into generation, job, stage
  from public.generations as g
  join lateral (select q.id, q.stage from public.jobs as q where q.generation_id = g.id
                order by q.created_at, q.id limit 1) as j on true
  where g.course_id = course and (g.id = wanted_id or g.idempotency_key = $8)
  order by g.created_at limit 1;
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
  insert into public.generations
    (id, course_id, organization_id, user_id, status, budget_usd_micros, seed, options, idempotency_key, webhook_url)
  values (wanted_id, course, found_course.organization_id, person, 'pending', budget, $6, $7, $8, $9);

  stage := case when kind = 'section' then 'structure' when kind = 'lesson' then 'content'
                when with_documents then 'document_processing' else 'analysis' end;
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

revoke execute on all functions in schema app from public;
grant execute on function app.take_generation_slot(uuid, int), app.free_generation_slot(),
  app.check_generation_limits(uuid, uuid, int, int),
  app.start_generation(uuid, uuid, uuid, uuid, bigint, bigint, jsonb, text, text, int, int, text, text)
  to service_role;
alter function app.free_generation_slot() owner to service_role;
revoke create on schema app, public from service_role;
