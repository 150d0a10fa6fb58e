-- Who did what, for admins (service 4.6).

grant create on schema app, public to service_role;

create table public.audit_log (
  id bigint generated always as identity primary key,
  -- Entries outlive what they tell of, so nothing is referenced. Null: the program or the command line.
  actor_id uuid,
  actor_role text not null,
  organization_id uuid,
  -- Named like procedures, for example `user.set_role`.
  action text not null check (length(action) between 1 and 100),
  target text not null check (length(target) <= 500),
  details jsonb not null default '{}',
  at timestamptz not null default clock_timestamp()
);
create index audit_log_organization on public.audit_log (organization_id, id desc);

alter table public.audit_log enable row level security;
alter table public.audit_log force row level security;
create policy service_all on public.audit_log to service_role using (true) with check (true);
create policy admin_read on public.audit_log for select to authenticated
  using ((select app.claim_role()) = 'superadmin'
         or (select app.claim_role()) = 'admin' and organization_id = (select app.claim_organization()));
grant select, insert, update, delete on public.audit_log to service_role;
grant select on public.audit_log to authenticated;

-- The only way in for people: an entry always names the person of the claims.
create function app.record_audit(organization uuid, action text, target text, details jsonb) returns bigint
  language sql security definer set search_path = '' as $$
  insert into public.audit_log (actor_id, actor_role, organization_id, action, target, details)
  values (auth.uid(), coalesce(app.claim_role(), 'system'), coalesce(organization, app.claim_organization()),
          action, left(target, 500), coalesce(details, '{}'))
  returning id
$$;

create function app.note_superadmin_action() returns trigger language plpgsql
  security definer set search_path = '' as $$
begin
  insert into public.system_metrics (event_type, severity, user_id, organization_id, metadata)
  values ('superadmin_action', 'info', new.actor_id, new.organization_id,
          jsonb_build_object('action', new.action, 'target', new.target));
  return null;
end $$;
create trigger audit_log_note_superadmin_action after insert on public.audit_log
  for each row when (new.actor_role = 'superadmin') execute function app.note_superadmin_action();

create index system_metrics_event on public.system_metrics (event_type, at desc);

alter function app.record_audit(uuid, text, text, jsonb) owner to service_role;
alter function app.note_superadmin_action() owner to service_role;
revoke execute on all functions in schema app from public;
grant execute on function app.record_audit(uuid, text, text, jsonb) to authenticated, service_role;
grant execute on function app.note_superadmin_action() to service_role;
revoke create on schema app, public from service_role;
