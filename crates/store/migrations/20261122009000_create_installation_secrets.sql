-- Secrets of the installation that all its processes share: keys that it made itself. The program alone reads them.

create table public.installation_secrets (
  name text primary key check (length(name) between 1 and 100),
  value bytea not null check (length(value) between 16 and 1024),
  created_at timestamptz not null default now()
);

alter table public.installation_secrets enable row level security;
alter table public.installation_secrets force row level security;
create policy service_all on public.installation_secrets to service_role using (true) with check (true);
-- On Supabase, new tables are readable by the API's roles unless that is taken back.
revoke all on public.installation_secrets from anon, authenticated;
grant select, insert, update, delete on public.installation_secrets to service_role;
