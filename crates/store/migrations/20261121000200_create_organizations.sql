-- Tenants, people, and the limits of tiers (service 4.3).

create table public.tier_settings (
  tier text primary key check (tier in ('trial', 'free', 'basic', 'standard', 'premium')),
  priority smallint not null,
  concurrent_generations int not null check (concurrent_generations >= 0),
  max_file_bytes bigint not null check (max_file_bytes >= 0),
  max_files_per_course int not null check (max_files_per_course >= 0),
  storage_bytes bigint not null check (storage_bytes >= 0),
  formats text[] not null,
  generation_budget_usd_micros bigint not null default 1000000 check (generation_budget_usd_micros > 0),
  trial_days int,
  updated_at timestamptz not null default now()
);

insert into public.tier_settings
  (tier, priority, concurrent_generations, max_file_bytes, max_files_per_course, storage_bytes, formats, trial_days)
values
  ('trial', 5, 5, 10 * 1048576, 3, 1073741824, '{pdf,docx,pptx,html,txt,md}', 14),
  ('free', 1, 1, 5 * 1048576, 0, 10 * 1048576, '{}', null),
  ('basic', 3, 2, 10 * 1048576, 1, 100 * 1048576, '{txt,md}', null),
  ('standard', 5, 3, 10 * 1048576, 3, 1073741824, '{pdf,docx,pptx,html,txt,md}', null),
  ('premium', 10, 5, 100 * 1048576, 10, 10737418240, '{pdf,docx,pptx,html,txt,md,png,jpg,gif,webp}', null);

create table public.organizations (
  id uuid primary key,
  name text not null check (length(name) between 1 and 200),
  tier text not null default 'free' references public.tier_settings,
  -- The one organization of the command line; there is at most one.
  is_local boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create unique index organizations_one_local on public.organizations (is_local) where is_local;

create table public.users (
  id uuid primary key,
  organization_id uuid not null references public.organizations on delete cascade,
  email text not null check (length(email) between 1 and 320),
  name text,
  role text not null check (role in ('student', 'instructor', 'admin', 'superadmin')),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (organization_id, id)
);
create unique index users_email on public.users (lower(email));

create trigger organizations_touch before update on public.organizations
  for each row execute function app.touch_updated_at();
create trigger users_touch before update on public.users
  for each row execute function app.touch_updated_at();
create trigger tier_settings_touch before update on public.tier_settings
  for each row execute function app.touch_updated_at();
