-- Roles, the functions that read a request's claims, and the schema of our own helpers.
-- Runs unchanged on plain PostgreSQL and on Supabase: what exists is left alone.

-- Roles belong to the whole server: two databases that are migrated at once race for them.
do $$
declare
  wanted text;
  -- Since 16 the creator of a role is its member without the right to SET ROLE.
  membership text := case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end;
begin
  foreach wanted in array array['anon', 'authenticated', 'service_role'] loop
    if not exists (select from pg_roles where rolname = wanted) then
      begin
        execute format('create role %I nologin noinherit', wanted);
      exception when duplicate_object or unique_violation then null;
      end;
    end if;
    if not pg_has_role(current_user, wanted, membership) then
      begin
        execute format('grant %I to current_user', wanted);
      exception when others then
        -- XX000: "tuple concurrently updated", the other migration granted it.
        if sqlstate <> 'XX000' then raise; end if;
      end;
    end if;
  end loop;
end $$;

do $$ begin
  if to_regnamespace('auth') is null then create schema auth; end if;
end $$;
create schema if not exists app;

do $$ begin
  if to_regprocedure('auth.jwt()') is null then
    create function auth.jwt() returns jsonb language sql stable as $f$
      select coalesce(nullif(current_setting('request.jwt.claim', true), ''),
                      nullif(current_setting('request.jwt.claims', true), ''))::jsonb $f$;
  end if;
  if to_regprocedure('auth.uid()') is null then
    create function auth.uid() returns uuid language sql stable as $f$
      select coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
                      nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $f$;
  end if;
  -- On Supabase the schema belongs to another role, and these grants are there already.
  begin
    grant usage on schema auth to anon, authenticated, service_role;
  exception when insufficient_privilege then null;
  end;
end $$;

grant usage on schema app, public to anon, authenticated, service_role;
-- Until the last migration of this set: functions that run as service_role are handed over to it.
grant create on schema app, public to service_role;

-- Supabase's own top-level claim `role` is the database role, so it is read last.
create function app.claim_role() returns text language sql stable as $$
  select coalesce(auth.jwt() ->> 'user_role', auth.jwt() -> 'app_metadata' ->> 'role', auth.jwt() ->> 'role')
$$;

create function app.claim_organization() returns uuid language sql stable as $$
  select coalesce(auth.jwt() ->> 'organization_id', auth.jwt() -> 'app_metadata' ->> 'organization_id')::uuid
$$;

create function app.touch_updated_at() returns trigger language plpgsql as $$
begin
  new.updated_at := now();
  return new;
end $$;
