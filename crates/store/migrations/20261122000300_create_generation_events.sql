-- What watchers of a generation are told, kept so that they can catch up after a lost connection (service 4.1).

grant create on schema app, public to service_role;

create table public.generation_events (
  id bigint generated always as identity primary key,
  course_id uuid not null references public.courses on delete cascade,
  generation_id uuid not null references public.generations on delete cascade,
  organization_id uuid not null references public.organizations on delete cascade,
  -- {status, progress, metadata}
  payload jsonb not null,
  at timestamptz not null default clock_timestamp()
);
create index generation_events_course on public.generation_events (course_id, id);
create index generation_events_generation on public.generation_events (generation_id);
create index generation_events_organization on public.generation_events (organization_id);

alter table public.generation_events enable row level security;
alter table public.generation_events force row level security;
create policy service_all on public.generation_events to service_role using (true) with check (true);
create policy owner_or_admin_read on public.generation_events for select to authenticated
  using (organization_id = any (array(select app.visible_organizations()))
         and ((select app.claim_role()) in ('admin', 'superadmin')
              or (select app.claim_role()) = 'instructor'
                 and course_id in (select c.id from public.courses c where c.owner_id = (select auth.uid()))));
grant select, insert, update, delete on public.generation_events to service_role;
grant select on public.generation_events to authenticated;

-- Runs at the end of the transaction: one event for all that it changed, with what is then true. Writers of one course
-- wait for each other at its row, so its events have the order of their numbers.
create function app.record_generation_event() returns trigger language plpgsql
  security definer set search_path = '' as $$
declare
  course uuid;
begin
  if tg_table_name = 'courses' then
    course := new.id;
  else
    course := new.course_id;
  end if;
  if current_setting('app.event_recorded', true) = course::text then
    return null;
  end if;
  perform set_config('app.event_recorded', course::text, true);
  insert into public.generation_events (course_id, generation_id, organization_id, payload)
  select c.id, g.id, c.organization_id,
    jsonb_build_object('status', c.generation_status, 'progress', c.generation_progress, 'metadata', g.progress_metadata)
  from public.courses as c join public.generations as g on g.id = c.current_generation_id
  where c.id = course;
  return null;
end $$;

create constraint trigger courses_record_generation_event
  after update of generation_status, generation_progress on public.courses deferrable initially deferred
  for each row when (old.generation_status is distinct from new.generation_status
                     or old.generation_progress is distinct from new.generation_progress)
  execute function app.record_generation_event();
create constraint trigger generations_record_generation_event
  after update of progress_metadata on public.generations deferrable initially deferred
  for each row when (old.progress_metadata is distinct from new.progress_metadata)
  execute function app.record_generation_event();

alter function app.record_generation_event() owner to service_role;
revoke execute on function app.record_generation_event() from public;
grant execute on function app.record_generation_event() to service_role;
revoke create on schema app, public from service_role;
