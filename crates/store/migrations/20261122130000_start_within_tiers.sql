-- A tier may last for a number of days (`tier_settings.trial_days`); and a start costs fewer writes (service 4.2, 4.3).

grant create on schema app, public to service_role;

-- Since when the organization has its tier.
alter table public.organizations add column tier_since timestamptz not null default now();
-- Row-level security is forced for the owner too.
do $$
begin
  set local role service_role;
  update public.organizations set tier_since = created_at;
  reset role;
end $$;

create function app.note_tier() returns trigger language plpgsql as $$
begin
  new.tier_since := now();
  return new;
end $$;
create trigger organizations_note_tier before update of tier on public.organizations
  for each row when (old.tier is distinct from new.tier) execute function app.note_tier();

-- As before, and one write may pass through a state: `app.via_status` names it, and both steps must be legal.
create or replace function app.guard_generation_status() returns trigger language plpgsql
  security definer set search_path = '' as $$
declare
  via text := nullif(current_setting('app.via_status', true), '');
  from_status text := coalesce(via, old.generation_status, '');
begin
  if new.generation_status is not distinct from old.generation_status then
    return new;
  end if;
  if not exists (
    select from public.generation_transitions as legal
    where legal.old_status = from_status and legal.new_status = new.generation_status
  ) or via is not null and not exists (
    select from public.generation_transitions as legal
    where legal.old_status = coalesce(old.generation_status, '') and legal.new_status = via
  ) then
    raise exception 'generation_status cannot change from % to %; from % it may become: %',
      coalesce(old.generation_status, 'NULL'), coalesce(new.generation_status, 'NULL'),
      coalesce(old.generation_status, 'NULL'),
      (select coalesce(string_agg(legal.new_status, ', ' order by legal.new_status), 'nothing')
       from public.generation_transitions as legal
       where legal.old_status = coalesce(old.generation_status, ''))
      using errcode = 'CW001';
  end if;
  return new;
end $$;

-- As before, and a state that a write passed through has its row too, so that history has no gaps.
create or replace function app.record_generation_status() returns trigger language plpgsql
  security definer set search_path = '' as $$
declare
  via text := nullif(current_setting('app.via_status', true), '');
  actor uuid := coalesce(nullif(current_setting('app.actor', true), '')::uuid, auth.uid());
  source text := coalesce(nullif(current_setting('app.source', true), ''), 'system');
  facts jsonb := coalesce(nullif(current_setting('app.status_metadata', true), '')::jsonb, '{}');
begin
  if new.generation_status is not distinct from old.generation_status then
    return null;
  end if;
  if via is not null then
    insert into public.generation_status_history
      (course_id, organization_id, generation_id, old_status, new_status, actor_id, source, metadata)
    values (new.id, new.organization_id, new.current_generation_id, old.generation_status, via, actor, source, facts);
  end if;
  insert into public.generation_status_history
    (course_id, organization_id, generation_id, old_status, new_status, actor_id, source, metadata)
  values (new.id, new.organization_id, new.current_generation_id, coalesce(via, old.generation_status),
          new.generation_status, actor, source, facts);
  update public.generations as g set
    status = new.generation_status,
    started_at = case when new.generation_status not in ('pending', 'initializing', 'failed', 'cancelled')
                      then coalesce(g.started_at, now()) else g.started_at end,
    finished_at = case when new.generation_status in ('completed', 'failed', 'cancelled') then now() end
  where g.id = new.current_generation_id and g.course_id = new.id
    and (g.status <> new.generation_status or g.finished_at is not null);
  return null;
end $$;

-- As before, but not all places are made at once: a start that did would let the others wait until its commit. The
-- program makes them beforehand, so that this is for the first starts of all.
create or replace function app.take_generation_slot(generation uuid, global_limit int) returns boolean
  language plpgsql as $$
declare
  highest int;
  known int;
  taken int;
begin
  if global_limit is null then
    return true;
  end if;
  -- The limit may have fallen below numbers that are taken. Then only so many low ones may be given away that both
  -- together stay within it.
  highest := global_limit;
  if exists (select from public.generation_slots where number > global_limit and generation_id is not null) then
    select coalesce(max(k), 0) into highest from generate_series(0, global_limit) as k
    where k + (select count(*) from public.generation_slots where number > k and generation_id is not null)
          <= global_limit;
  end if;
  loop
    update public.generation_slots set generation_id = generation
    where number = (select number from public.generation_slots
                    where generation_id is null and number <= highest
                    order by number limit 1 for update skip locked)
    returning number into taken;
    if taken is not null then
      return true;
    end if;
    select coalesce(max(number), 0) into known from public.generation_slots;
    if known >= highest then
      return false;
    end if;
    -- Whoever makes the same ones waits here until the first has ended, and finds what is left.
    insert into public.generation_slots (number)
    select generate_series(known + 1, least(known + greatest(known, 32), global_limit)) on conflict (number) do nothing;
  end loop;
end $$;

-- One step of a new progress.
create function app.new_step(id int, name text, is_done boolean, at text) returns jsonb language plpgsql immutable as $$
begin
  return jsonb_build_object('id', id, 'name', name,
    'status', case when is_done then 'completed' else 'pending' end,
    'started_at', case when is_done then at end, 'completed_at', case when is_done then at end,
    'error', null, 'error_details', null);
end $$;

-- The whole start, after the caller has made sure that the person may (service 4.2). Locks are taken in the order user,
-- course, slot, each in a statement of its own: what is counted after a lock was granted is seen as it is then.
-- With `asked_at`, the tier's own terms hold: its days as of that moment, its number of generations for one user, and the
-- budget is at most what the course and the tier allow. Without it, `user_limit` and `budget` are what holds.
-- Outcomes: `started`; `repeated` (the answer of an earlier start with the same key); `tier_ended`; `active`;
-- `unfinished` (a part is to be made anew, but there is no such part); `other_request` (the key belongs to a start that
-- asked for something else); `user_limit`; `global_limit`.
-- After `started` and `repeated` the transaction's role is `then_role`.
create function app.start_generation(
  asked_at timestamptz, wanted_id uuid, job_id uuid, course uuid, person uuid, budget bigint, seed bigint,
  options jsonb, idempotency_key text, webhook_url text, user_limit int, global_limit int, message text, then_role text,
  out outcome text, out generation uuid, out job uuid, out stage text, out tier text, out user_most int,
  out user_active int, out global_active int, out tier_ended_at timestamptz
) language plpgsql as $$
#variable_conflict use_column
declare
  terms record;
  found_course record;
  kind text := coalesce($8 #>> '{scope,kind}', 'whole');
  part int := ($8 #>> '{scope,number}')::int;
  -- The lessons that are written anew.
  lessons int[] := part || array(select number::int from jsonb_array_elements_text($8 #> '{scope,also}') as number);
  with_documents boolean;
  is_other boolean;
  progress jsonb;
  done_steps int;
  at text := to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
begin
  -- A superadmin works with the limits and the priority of the highest tier, which has no end for them.
  select s.tier, s.priority, s.concurrent_generations, s.generation_budget_usd_micros,
    case when u.role <> 'superadmin' then o.tier_since + make_interval(hours => 24 * s.trial_days) end as ends_at
  into terms
  from public.users as u
  join public.organizations as o on o.id = u.organization_id
  join public.tier_settings as s on s.tier = case when u.role = 'superadmin' then 'premium' else o.tier end
  where u.id = person for no key update of u;
  tier := terms.tier;
  user_most := case when asked_at is null then $11 else terms.concurrent_generations end;
  select c.generation_status, c.course_structure, c.organization_id, c.budget_usd_micros into found_course
  from public.courses as c where c.id = course for update;

  -- The same transaction once more, or the same key.
  select g.id, g.first_job_id, g.first_stage, g.options ->> 'request_hash' is distinct from $8 ->> 'request_hash'
  into generation, job, stage, is_other
  from public.generations as g
  where g.course_id = course and (g.id = wanted_id or g.idempotency_key = $9)
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
  if asked_at >= terms.ends_at then
    outcome := 'tier_ended';
    tier_ended_at := terms.ends_at;
    return;
  end if;
  if found_course.generation_status not in ('completed', 'failed', 'cancelled') then
    outcome := 'active';
    return;
  end if;
  if kind = 'section' and not coalesce(part between 1 and jsonb_array_length(found_course.course_structure -> 'sections'), false)
     or kind = 'lesson' and exists (
       select from unnest(lessons) as wanted where not exists (
         select from public.lesson_contents as l where l.course_id = course and l.lesson_number = wanted)) then
    outcome := 'unfinished';
    return;
  end if;

  select kind = 'whole' and exists (select from public.documents as d where d.course_id = course),
    (select count(*) from public.generations as g
     where g.user_id = person and g.id <> wanted_id and g.status not in ('completed', 'failed', 'cancelled'))
  into with_documents, user_active;
  if user_active >= user_most then
    outcome := 'user_limit';
    return;
  end if;
  if not app.take_generation_slot(wanted_id, global_limit) then
    outcome := 'global_limit';
    select count(*) into global_active from public.generation_slots as s where s.generation_id is not null;
    return;
  end if;
  stage := case when kind = 'section' then 'structure' when kind = 'lesson' then 'content'
                when with_documents then 'document_processing' else 'analysis' end;
  insert into public.generations
    (id, course_id, organization_id, user_id, status, budget_usd_micros, seed, options, idempotency_key, webhook_url,
     first_job_id, first_stage)
  values (wanted_id, course, found_course.organization_id, person, 'initializing',
          case when asked_at is null then budget
               else least(budget, found_course.budget_usd_micros, terms.generation_budget_usd_micros) end,
          $7, $8, $9, $10, job_id, stage);

  -- What is kept counts as done. The same as `app.new_progress` makes, in one go.
  done_steps := case kind when 'section' then 2 when 'lesson' then 3 else 1 end;
  progress := jsonb_build_object(
    'steps', jsonb_build_array(
      app.new_step(1, 'Запуск генерации', true, at),
      app.new_step(2, case when with_documents then 'Обработка документов' else 'Анализ задачи' end, done_steps >= 2, at),
      app.new_step(3, 'Генерация структуры', done_steps >= 3, at),
      app.new_step(4, 'Создание контента', false, at),
      app.new_step(5, 'Финализация', false, at)),
    'percentage', 20 * done_steps, 'current_step', done_steps, 'message', message, 'total_steps', 5,
    'has_documents', with_documents, 'lessons_completed', 0, 'lessons_total', 0);
  if kind = 'lesson' then
    -- The other texts count as made by this generation; the old text stays until the new one is there.
    update public.lesson_contents as l set generation_id = wanted_id,
      status = case when l.lesson_number = any (lessons) then 'pending' else l.status end
    where l.course_id = course;
    progress := progress || (
      select jsonb_build_object('lessons_total', count(*),
        'lessons_completed', count(*) filter (where l.status in ('completed', 'needs_review')))
      from public.lesson_contents as l where l.course_id = course);
  end if;
  perform set_config('app.via_status', 'pending', true);
  update public.courses as c set
    current_generation_id = wanted_id, generation_progress = progress, generation_status = 'initializing',
    analysis_result = case when kind = 'whole' then null else c.analysis_result end,
    generation_metadata = case when kind = 'whole' then null else c.generation_metadata end,
    quality_report = case when kind = 'whole' then null else c.quality_report end
  where c.id = course;
  perform set_config('app.via_status', '', true);
  insert into public.jobs (id, organization_id, user_id, course_id, generation_id, stage, priority)
  values (job_id, found_course.organization_id, person, course, wanted_id, stage, terms.priority);
  outcome := 'started';
  generation := wanted_id;
  job := job_id;
  perform set_config('role', then_role, true);
end $$;

-- What the caller's own start with this key gave. Their row is locked first: of two that come at once, the second waits
-- until the first has ended.
create function app.find_own_start(
  key text, out course uuid, out generation uuid, out job uuid, out stage text, out request_hash text
) returns setof record language plpgsql security definer set search_path = '' as $$
begin
  perform from public.users as u where u.id = auth.uid() for no key update;
  return query
    select g.course_id, g.id, g.first_job_id, g.first_stage, g.options ->> 'request_hash' from public.generations as g
    where g.user_id = auth.uid() and g.idempotency_key = key and g.first_job_id is not null
    order by g.created_at desc limit 1;
end $$;

alter function app.find_own_start(text) owner to service_role;
revoke all on function app.note_tier(), app.new_step(int, text, boolean, text), app.find_own_start(text),
  app.start_generation(timestamptz, uuid, uuid, uuid, uuid, bigint, bigint, jsonb, text, text, int, int, text, text)
  from public, anon, authenticated;
grant execute on function app.note_tier(), app.new_step(int, text, boolean, text), app.find_own_start(text),
  app.start_generation(timestamptz, uuid, uuid, uuid, uuid, bigint, bigint, jsonb, text, text, int, int, text, text)
  to service_role;
grant execute on function app.find_own_start(text) to authenticated;
revoke create on schema app, public from service_role;
