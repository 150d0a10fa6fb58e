-- generation_status is a state machine that the database keeps (data model 2.8).

-- An empty old_status is a course that was never generated.
create table public.generation_transitions (
  old_status text not null,
  new_status text not null,
  primary key (old_status, new_status)
);

insert into public.generation_transitions (old_status, new_status) values
  ('', 'pending'), ('completed', 'pending'), ('failed', 'pending'), ('cancelled', 'pending'),
  ('pending', 'initializing'),
  ('initializing', 'processing_documents'), ('initializing', 'analyzing_task'),
  ('processing_documents', 'analyzing_task'), ('processing_documents', 'generating_structure'),
  ('analyzing_task', 'generating_structure'),
  ('generating_structure', 'awaiting_review'), ('generating_structure', 'generating_content'),
  ('awaiting_review', 'generating_content'),
  ('generating_content', 'finalizing'),
  ('finalizing', 'completed');
insert into public.generation_transitions (old_status, new_status)
select active, ended
from unnest(array['pending', 'initializing', 'processing_documents', 'analyzing_task', 'generating_structure',
                  'awaiting_review', 'generating_content', 'finalizing']) as active,
     unnest(array['failed', 'cancelled']) as ended;

create table public.generation_status_history (
  id bigint generated always as identity primary key,
  course_id uuid not null references public.courses on delete cascade,
  organization_id uuid not null references public.organizations on delete cascade,
  generation_id uuid,
  old_status text,
  new_status text,
  at timestamptz not null default clock_timestamp(),
  actor_id uuid,
  source text not null check (source in ('api', 'worker', 'system', 'admin')),
  metadata jsonb not null default '{}'
);
create index generation_status_history_course on public.generation_status_history (course_id, at);
create index generation_status_history_organization on public.generation_status_history (organization_id);

create function app.guard_generation_status() returns trigger language plpgsql
  security definer set search_path = '' as $$
begin
  if new.generation_status is not distinct from old.generation_status then
    return new;
  end if;
  if not exists (
    select from public.generation_transitions as legal
    where legal.old_status = coalesce(old.generation_status, '') and legal.new_status = new.generation_status
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

-- A course may be inserted in any state that a new course can have: none.
create function app.guard_new_generation_status() returns trigger language plpgsql as $$
begin
  if new.generation_status is not null and new.generation_status <> 'pending' then
    raise exception 'generation_status cannot change from NULL to %; from NULL it may become: pending',
      new.generation_status using errcode = 'CW001';
  end if;
  return new;
end $$;

create function app.record_generation_status() returns trigger language plpgsql
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
  update public.generations set
    status = new.generation_status,
    started_at = case when new.generation_status not in ('pending', 'initializing', 'failed', 'cancelled')
                      then coalesce(started_at, now()) else started_at end,
    finished_at = case when new.generation_status in ('completed', 'failed', 'cancelled') then now() end
  where id = new.current_generation_id;
  return null;
end $$;

create trigger courses_guard_generation_status before update of generation_status on public.courses
  for each row execute function app.guard_generation_status();
create trigger courses_guard_new_generation_status before insert on public.courses
  for each row execute function app.guard_new_generation_status();
create trigger courses_record_generation_status after update of generation_status on public.courses
  for each row execute function app.record_generation_status();
