-- Tokens of an identity provider decide the role of people who are known by tokens alone. A role that was set here
-- stays until it is set here again.

grant create on schema app, public to service_role;

alter table public.users add column role_source text not null default 'local'
  check (role_source in ('local', 'provider'));
grant update (role_source) on public.users to authenticated;

-- Row-level security is forced for the owner too.
do $$
begin
  set local role service_role;
  update public.users as u set role_source = 'provider'
  where not exists (select from public.credentials as c where c.user_id = u.id)
    and not exists (select from public.organizations as o where o.id = u.organization_id and o.is_local)
    and not exists (select from public.audit_log as a where a.action = 'user.set_role' and a.target = u.id::text);
  reset role;
end $$;

-- The person of a token follows it in role and address as far as they can, and signs in in any case: the last
-- superadmin keeps the role, and an address that somebody else has is not taken.
create function app.follow_provider(person uuid, wanted_role text, wanted_email text) returns text language plpgsql as $$
begin
  begin
    update public.users as u set role = wanted_role
    where u.id = person and u.role_source = 'provider' and u.role <> wanted_role;
  exception when sqlstate 'CW002' then null;
  end;
  begin
    update public.users as u set email = wanted_email where u.id = person and u.email <> wanted_email;
  exception when unique_violation then null;
  end;
  return (select u.role from public.users as u where u.id = person);
end $$;

revoke execute on function app.follow_provider(uuid, text, text) from public;
grant execute on function app.follow_provider(uuid, text, text) to service_role;
revoke create on schema app, public from service_role;
