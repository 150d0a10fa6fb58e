-- Webhooks: addresses that hear of events, and the outbox that is written with the event itself (service 4.7).

grant create on schema app, public to service_role;

-- A secret of Standard Webhooks: `whsec_` and 32 random bytes in base64.
create function app.new_webhook_secret() returns text language sql volatile as $$
  select 'whsec_' || encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'base64')
$$;

-- What signs deliveries to the addresses that single generations name. Apart from `organizations`, which everybody in
-- them may read.
create table public.webhook_secrets (
  organization_id uuid primary key references public.organizations on delete cascade,
  secret text not null default app.new_webhook_secret()
);

create table public.webhook_endpoints (
  id uuid primary key,
  organization_id uuid not null references public.organizations on delete cascade,
  url text not null check (length(url) between 1 and 2000),
  secret text not null default app.new_webhook_secret(),
  -- Types of events; empty: all.
  events text[] not null default '{}',
  is_active boolean not null default true,
  created_at timestamptz not null default now()
);
create index webhook_endpoints_organization on public.webhook_endpoints (organization_id, id);

create table public.webhook_deliveries (
  id uuid primary key default app.new_id(),
  organization_id uuid not null references public.organizations on delete cascade,
  -- Null: the address that the generation names.
  endpoint_id uuid references public.webhook_endpoints on delete cascade,
  course_id uuid,
  generation_id uuid,
  url text not null,
  event_type text not null,
  -- {type, timestamp, data}: sent as it is.
  payload jsonb not null,
  state text not null default 'waiting' check (state in ('waiting', 'delivered', 'failed')),
  attempt int not null default 0,
  next_attempt_at timestamptz default now(),
  lease_until timestamptz,
  last_status int,
  last_error text,
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  check ((state = 'waiting') = (next_attempt_at is not null))
);
create index webhook_deliveries_waiting on public.webhook_deliveries (next_attempt_at) where state = 'waiting';
create index webhook_deliveries_organization on public.webhook_deliveries (organization_id, id desc);
create index webhook_deliveries_endpoint on public.webhook_deliveries (endpoint_id);
create index webhook_deliveries_finished on public.webhook_deliveries (finished_at) where state <> 'waiting';

do $$
declare name text;
begin
  foreach name in array array['webhook_secrets', 'webhook_endpoints', 'webhook_deliveries'] loop
    execute format('alter table public.%I enable row level security', name);
    execute format('alter table public.%I force row level security', name);
    execute format('create policy service_all on public.%I to service_role using (true) with check (true)', name);
    execute format('grant select, insert, update, delete on public.%I to service_role', name);
    execute format($policy$
      create policy admin_read on public.%I for select to authenticated
        using ((select app.claim_role()) = 'superadmin'
               or (select app.claim_role()) = 'admin' and organization_id = (select app.claim_organization()))
    $policy$, name);
    execute format('grant select on public.%I to authenticated', name);
  end loop;
end $$;

create policy admin_insert on public.webhook_endpoints for insert to authenticated
  with check ((select app.claim_role()) in ('admin', 'superadmin') and organization_id = (select app.claim_organization()));
create policy admin_delete on public.webhook_endpoints for delete to authenticated
  using ((select app.claim_role()) in ('admin', 'superadmin') and organization_id = (select app.claim_organization()));
grant insert (id, organization_id, url, events) on public.webhook_endpoints to authenticated;
grant delete on public.webhook_endpoints to authenticated;
-- The default of `secret` is made as whoever inserts.
grant execute on function app.new_webhook_secret() to authenticated, service_role;

-- Row-level security is forced for the owner too: existing organizations are read as the program.
do $$
begin
  set local role service_role;
  insert into public.webhook_secrets (organization_id) select id from public.organizations;
  reset role;
end $$;

create function app.add_webhook_secret() returns trigger language plpgsql
  security definer set search_path = '' as $$
begin
  insert into public.webhook_secrets (organization_id) values (new.id);
  return null;
end $$;
create trigger organizations_add_webhook_secret after insert on public.organizations
  for each row execute function app.add_webhook_secret();

create function app.send_webhooks() returns trigger language plpgsql
  security definer set search_path = '' as $$
declare
  happened text := 'generation.' || new.new_status;
  event jsonb;
  address text;
begin
  select g.webhook_url, jsonb_build_object('type', happened,
      'timestamp', to_char(new.at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
      'data', jsonb_build_object('courseId', c.id, 'generationId', g.id, 'status', new.new_status, 'title', c.title,
          'slug', c.slug)
        || case when new.new_status = 'failed' and g.error_code is not null
           then jsonb_build_object('error', jsonb_build_object('code', g.error_code, 'message', g.error_message))
           else '{}'::jsonb end)
  into address, event
  from public.courses as c join public.generations as g on g.id = new.generation_id
  where c.id = new.course_id;
  if event is null then
    return null;
  end if;
  insert into public.webhook_deliveries
    (organization_id, endpoint_id, course_id, generation_id, url, event_type, payload)
  select new.organization_id, target.id, new.course_id, new.generation_id, target.url, happened, event
  from (select null::uuid as id, address as url where address is not null
        union all
        select e.id, e.url from public.webhook_endpoints as e
        where e.organization_id = new.organization_id and e.is_active
          and (e.events = '{}' or happened = any (e.events))) as target;
  return null;
end $$;
create trigger generation_status_history_send_webhooks after insert on public.generation_status_history
  for each row when (new.new_status in ('completed', 'failed', 'cancelled', 'awaiting_review'))
  execute function app.send_webhooks();

alter function app.add_webhook_secret() owner to service_role;
alter function app.send_webhooks() owner to service_role;
revoke execute on all functions in schema app from public;
grant execute on function app.add_webhook_secret(), app.send_webhooks(), app.new_id() to service_role;
revoke create on schema app, public from service_role;
