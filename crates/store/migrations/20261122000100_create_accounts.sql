-- Signing in: passwords, lines of refresh tokens, keys of integrators (service 4.6).

grant create on schema app, public to service_role;

-- An id whose order is that of time (UUIDv7, RFC 9562), for rows that the database itself makes.
create function app.new_id() returns uuid language sql volatile as $$
  select encode(set_bit(set_bit(overlay(
    uuid_send(gen_random_uuid())
    placing substring(int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
    from 1 for 6), 52, 1), 53, 1), 'hex')::uuid
$$;

-- Apart from `users`, so that nobody who may read people can read this.
create table public.credentials (
  user_id uuid primary key references public.users on delete cascade,
  -- Argon2id in PHC form.
  password_hash text not null check (length(password_hash) between 1 and 500),
  updated_at timestamptz not null default now()
);
create trigger credentials_touch before update on public.credentials
  for each row execute function app.touch_updated_at();

-- One sign-in and the refresh tokens that follow from it.
create table public.sessions (
  id uuid primary key,
  user_id uuid not null references public.users on delete cascade,
  created_at timestamptz not null default now(),
  revoked_at timestamptz
);
create index sessions_user on public.sessions (user_id);

create table public.refresh_tokens (
  -- SHA-256 of the token, which is stored nowhere.
  token_hash bytea primary key check (length(token_hash) = 32),
  session_id uuid not null references public.sessions on delete cascade,
  issued_at timestamptz not null default now(),
  expires_at timestamptz not null,
  -- A token that comes again after this was stolen, here or there.
  used_at timestamptz
);
create index refresh_tokens_session on public.refresh_tokens (session_id);
create index refresh_tokens_expiry on public.refresh_tokens (expires_at);

create table public.api_keys (
  id uuid primary key,
  organization_id uuid not null references public.organizations on delete cascade,
  user_id uuid not null,
  name text not null check (length(name) between 1 and 200),
  -- The beginning of the key, by which people know it again.
  prefix text not null check (length(prefix) between 1 and 40),
  -- SHA-256 of the key, which is stored nowhere.
  key_hash bytea not null unique check (length(key_hash) = 32),
  scopes text[] not null check (scopes <@ '{read,generate,admin}' and cardinality(scopes) > 0),
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  foreign key (organization_id, user_id) references public.users (organization_id, id) on delete cascade
);
create index api_keys_user on public.api_keys (organization_id, user_id);

do $$
declare name text;
begin
  foreach name in array array['credentials', 'sessions', 'refresh_tokens', 'api_keys'] loop
    execute format('alter table public.%I enable row level security', name);
    execute format('alter table public.%I force row level security', name);
    execute format('create policy service_all on public.%I to service_role using (true) with check (true)', name);
    execute format('grant select, insert, update, delete on public.%I to service_role', name);
  end loop;
end $$;

-- Own keys, and for admins those of the organization.
create policy own_or_admin_read on public.api_keys for select to authenticated
  using (organization_id = any (array(select app.visible_organizations()))
         and (user_id = (select auth.uid()) or (select app.claim_role()) in ('admin', 'superadmin')));
create policy own_insert on public.api_keys for insert to authenticated
  with check (organization_id = (select app.claim_organization()) and user_id = (select auth.uid()));
create policy own_or_admin_update on public.api_keys for update to authenticated
  using (organization_id = any (array(select app.visible_organizations()))
         and (user_id = (select auth.uid()) or (select app.claim_role()) in ('admin', 'superadmin')))
  with check (true);
grant select (id, organization_id, user_id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at)
  on public.api_keys to authenticated;
grant insert (id, organization_id, user_id, name, prefix, key_hash, scopes, expires_at) on public.api_keys to authenticated;
grant update (revoked_at) on public.api_keys to authenticated;

-- The role of a person is changed by admins within their organization; only superadmins make or unmake superadmins.
create policy admin_update on public.users for update to authenticated
  using ((select app.claim_role()) = 'superadmin'
         or (select app.claim_role()) = 'admin' and organization_id = (select app.claim_organization())
            and role <> 'superadmin')
  with check ((select app.claim_role()) = 'superadmin'
         or (select app.claim_role()) = 'admin' and organization_id = (select app.claim_organization())
            and role <> 'superadmin');
grant update (role) on public.users to authenticated;

-- An installation always has a superadmin, once it had one.
create function app.guard_last_superadmin() returns trigger language plpgsql
  security definer set search_path = '' as $$
begin
  if old.role <> 'superadmin' or tg_op = 'UPDATE' and new.role = 'superadmin' then
    return case when tg_op = 'DELETE' then old else new end;
  end if;
  -- Two that are unmade at once must not count each other. The number is that of this rule alone.
  perform pg_advisory_xact_lock(4607);
  if not exists (select from public.users as other where other.role = 'superadmin' and other.id <> old.id) then
    raise exception 'the last superadmin cannot be removed' using errcode = 'CW002';
  end if;
  return case when tg_op = 'DELETE' then old else new end;
end $$;
create trigger users_guard_last_superadmin before update of role or delete on public.users
  for each row execute function app.guard_last_superadmin();

create index users_created on public.users (organization_id, id desc);

alter function app.guard_last_superadmin() owner to service_role;
revoke execute on all functions in schema app from public;
grant execute on function app.new_id(), app.guard_last_superadmin() to service_role;
revoke create on schema app, public from service_role;
